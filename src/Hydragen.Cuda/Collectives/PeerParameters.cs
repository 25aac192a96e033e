using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>What kernels know of the other ranks; laid out as <c>Peers</c> in <c>peers.cuh</c>, where the fields are described.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct PeerParameters
{
    public nint Inbox;
    public AddressList Outboxes;
    public nint Counts;
    public nint Stop;
    public long BoxBytes;
    public int Rank;

    /// <summary>One address for each other rank.</summary>
    [InlineArray(PeerMemory.MaxRanks - 1)]
    public struct AddressList
    {
        private nint _first;
    }
}
