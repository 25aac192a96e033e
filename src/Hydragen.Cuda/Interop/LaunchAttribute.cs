using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>The driver's <c>CUlaunchAttribute</c>, for attributes that are one number.</summary>
[StructLayout(LayoutKind.Explicit, Size = 72)]
internal struct LaunchAttribute
{
    /// <summary>The kernel may start before the end of the one before it in the stream.</summary>
    public const int ProgrammaticStreamSerialization = 6;

    [FieldOffset(0)]
    public int Id;

    [FieldOffset(8)]
    public int Value;
}
