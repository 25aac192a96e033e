using System.Numerics;

namespace Hydragen.Text.Models;

/// <summary>From a pair of token ids to the rank of their merge and the id it makes. Read-only once filled.</summary>
/// <remarks>
/// Open addressing over one array of key/value pairs. The multiplier is drawn at random, so that a file cannot choose pairs
/// that collide.
/// </remarks>
internal sealed class MergeTable
{
    /// <summary>The rank of a pair that no merge joins: larger than every real rank.</summary>
    public const int NoMerge = int.MaxValue;

    private const ulong Empty = ulong.MaxValue;

    private readonly ulong _multiplier = (ulong)Random.Shared.NextInt64() << 1 | 1;
    private (ulong Pair, int Rank, int Result)[] _slots = [];
    private int _shift;
    private int _count;

    public MergeTable() => Resize(1024);

    /// <summary>Sets the merge of a pair; of two merges of the same pair the later one counts.</summary>
    public void Set(int left, int right, int rank, int result)
    {
        if (2 * _count >= _slots.Length)
            Resize(2 * _slots.Length);
        ulong pair = Pair(left, right);
        int slot = Find(pair);
        if (_slots[slot].Pair == Empty)
            _count++;
        _slots[slot] = (pair, rank, result);
    }

    /// <summary>The rank of the merge of two tokens and the id it makes, or <see cref="NoMerge"/>.</summary>
    public int GetRank(int left, int right, out int result)
    {
        ref readonly (ulong Pair, int Rank, int Result) slot = ref _slots[Find(Pair(left, right))];
        result = slot.Result;
        return slot.Rank;
    }

    /// <summary>This table without the merges that make one of some ids; the table itself if there are none.</summary>
    public MergeTable Without(HashSet<int> results)
    {
        bool isAffected = false;
        MergeTable table = new();
        foreach ((ulong pair, int rank, int result) in _slots)
        {
            if (pair == Empty)
                continue;
            if (results.Contains(result))
                isAffected = true;
            else
                table.Set((int)(pair >> 32), (int)(uint)pair, rank, result);
        }

        return isAffected ? table : this;
    }

    private void Resize(int size)
    {
        (ulong Pair, int Rank, int Result)[] old = _slots;
        _slots = new (ulong, int, int)[size];
        _shift = 64 - BitOperations.Log2((uint)size);
        Array.Fill(_slots, (Empty, NoMerge, -1));
        foreach ((ulong Pair, int Rank, int Result) slot in old)
        {
            if (slot.Pair != Empty)
                _slots[Find(slot.Pair)] = slot;
        }
    }

    private int Find(ulong pair)
    {
        int mask = _slots.Length - 1;
        int slot = (int)(pair * _multiplier >> _shift);
        while (_slots[slot].Pair != pair && _slots[slot].Pair != Empty)
            slot = slot + 1 & mask;
        return slot;
    }

    private static ulong Pair(int left, int right) => (ulong)(uint)left << 32 | (uint)right;
}
