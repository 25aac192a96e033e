using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>Consecutive tokens of a stream in one page; laid out as in <c>cache_fill.cu</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal readonly record struct CacheRun(nint Page, int FirstSlot, int NumTokens, int Stream, int FirstToken);
