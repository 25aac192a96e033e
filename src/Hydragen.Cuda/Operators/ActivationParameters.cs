using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>The parameter of the kernel that gates activations; laid out as in <c>gated_activation.cu</c>, where the fields are described.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct ActivationParameters
{
    public nint GateUp;
    public nint Output;
    public int IntermediateSize;
    public int BlocksPerRow;
}
