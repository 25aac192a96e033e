using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>The parameter of the kernel that adds ranks up; laid out as in <c>peer_sum.cu</c>, where the fields are described.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct PeerSumParameters
{
    public PeerParameters Peers;
    public nint Numbers;
    public long NumVectors;
}
