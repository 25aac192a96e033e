using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>One block's work for each key/value head; laid out as in <c>common.cuh</c>, where the fields are described.</summary>
[StructLayout(LayoutKind.Sequential)]
internal readonly record struct AttentionItem(
    int FirstPage, int FirstSlot, int NumKeys, int FirstPosition, int FirstVector, int NumVectors, int FirstPart, int SplitAndMask);
