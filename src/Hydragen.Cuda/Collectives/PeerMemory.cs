using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>Memory of this rank that all other ranks write to, and theirs.</summary>
internal sealed class PeerMemory : IDisposable
{
    /// <summary>Ranks that can be connected.</summary>
    public const int MaxRanks = 8;

    // An allocation that shares none of its pages with others: what another process opens begins where it begins.
    private const long Granularity = 2 << 20;
    private const int AlreadyEnabled = 704;
    private const uint LazyPeerAccess = 1;
    private const string HostFile = "/proc/sys/kernel/random/boot_id";

    private static readonly long ProcessId = MemoryMarshal.Read<long>(RandomNumberGenerator.GetBytes(sizeof(long)));

    private readonly CudaDevice _device;
    private readonly nint[] _addresses;
    private readonly bool[] _isMapped;
    private DeviceMemory? _own;

    private PeerMemory(CudaDevice device, int size)
    {
        _device = device;
        _addresses = new nint[size];
        _isMapped = new bool[size];
    }

    /// <summary>Where the memory of this rank begins.</summary>
    public nint Own => _own!.Value;

    /// <summary>Where the memory of each other rank begins, seen from this one.</summary>
    public ReadOnlySpan<nint> Addresses => _addresses;

    /// <summary>Allocates memory and opens that of the others. Every rank must do so; all of them succeed, or none does.</summary>
    /// <param name="device">The GPU of this rank.</param>
    /// <param name="control">The ranks.</param>
    /// <param name="bytes">Size, the same on all ranks.</param>
    /// <param name="value">Every byte of it.</param>
    /// <returns>Null when a rank cannot: they are on several hosts, there are too many, or their GPUs do not reach one another.</returns>
    /// <exception cref="RankGroupException">Another rank failed or is lost.</exception>
    public static PeerMemory? TryCreate(CudaDevice device, IRankGroup control, long bytes, byte value)
    {
        if (control.Size > MaxRanks) return null;
        var memory = new PeerMemory(device, control.Size);
        try
        {
            Card own = memory.Allocate((bytes + Granularity - 1) / Granularity * Granularity, value);
            Card[] cards = Exchange(control, own);
            bool isOpen = true;
            for (int rank = 0; rank < cards.Length && isOpen; rank++) isOpen = rank == control.Rank || memory.Open(rank, cards[rank], own.Host);
            if (control.Min(isOpen ? 1 : 0) == 1) return memory;
            memory.Dispose();
            return null;
        }
        catch
        {
            memory.Dispose();
            throw;
        }
    }

    /// <summary>Closes what others own and frees what this rank owns; nobody may write to it any more.</summary>
    public void Dispose()
    {
        if (_own is null) return;
        _device.MakeCurrent();
        for (int rank = 0; rank < _addresses.Length; rank++)
        {
            if (_isMapped[rank]) _ = DriverApi.IpcCloseMemHandle(_addresses[rank]);
        }
        _own.Dispose();
        _own = null;
    }

    /// <summary>What ranks tell one another, as numbers.</summary>
    private static Card[] Exchange(IRankGroup control, Card own)
    {
        var cards = new Card[control.Size];
        Span<long> ownWords = MemoryMarshal.Cast<Card, long>(new Span<Card>(ref own));
        for (int rank = 0; rank < cards.Length; rank++)
        {
            Span<long> words = MemoryMarshal.Cast<Card, long>(cards.AsSpan(rank, 1));
            for (int i = 0; i < words.Length; i++) words[i] = control.Min(rank == control.Rank ? ownWords[i] : long.MaxValue);
        }
        return cards;
    }

    private Card Allocate(long bytes, byte value)
    {
        var card = new Card { Process = ProcessId, Context = _device.Context.DangerousGetHandle() };
        try
        {
            _own = _device.Allocate(bytes);
        }
        catch (InsufficientMemoryException)
        {
            return card;
        }
        _device.Fill(_own, value);
        _device.Synchronize();
        card.Address = _own.Value;
        bool hasHandle = DriverApi.IpcGetMemHandle(out card.Handle, _own.Value) == 0;
        if (hasHandle && File.Exists(HostFile) && Guid.TryParse(File.ReadAllText(HostFile).Trim(), out Guid host))
            card.Host = MemoryMarshal.Read<long>(host.ToByteArray()) | 1;
        return card;
    }

    private bool Open(int rank, Card card, long ownHost)
    {
        if (_own is null || card.Address == 0) return false;
        _device.MakeCurrent();
        if (card.Process == ProcessId)
        {
            // Handles are for other processes; this one may simply use the address.
            _addresses[rank] = card.Address;
            return card.Context == _device.Context.DangerousGetHandle() || DriverApi.CtxEnablePeerAccess(card.Context, 0) is 0 or AlreadyEnabled;
        }
        if (card.Host == 0 || card.Host != ownHost) return false;
        _isMapped[rank] = DriverApi.IpcOpenMemHandle(out _addresses[rank], card.Handle, LazyPeerAccess) == 0;
        return _isMapped[rank];
    }

    /// <summary>What others need to know of a rank's memory.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct Card
    {
        /// <summary>The host, other than 0; 0 when other processes cannot open the memory.</summary>
        public long Host;
        public long Process;
        public nint Context;

        /// <summary>In the process itself; 0 when there is no memory.</summary>
        public nint Address;
        public MemoryHandle Handle;
    }
}
