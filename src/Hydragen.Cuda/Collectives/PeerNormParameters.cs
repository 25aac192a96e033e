using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>The parameter of the kernel that adds ranks up and normalises; laid out as in <c>peer_norm.cu</c>, where the fields are described.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct PeerNormParameters
{
    public PeerParameters Peers;
    public nint Delta;
    public nint Residual;
    public nint Weight;
    public nint Output;
    public int NumRows;
    public int HiddenSize;
    public float Epsilon;
    public float DeltaScale;
}
