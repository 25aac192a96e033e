namespace Hydragen.Text.Models;

/// <summary>The symbols of one piece while they are merged: a doubly linked list in arrays and a heap of possible merges.</summary>
/// <remarks>
/// Merges happen in order of rank and, at equal rank, from left to right. Each symbol is pushed a bounded number of times, so
/// n symbols take O(n log n). Not safe for concurrent use.
/// </remarks>
internal sealed class MergeWorkspace
{
    private const int End = -1;

    private int[] _ids = new int[64];
    private int[] _previous = new int[64];
    private int[] _next = new int[64];
    private ulong[] _heap = new ulong[64];
    private int _count;
    private int _heapCount;

    /// <summary>Symbols that the largest piece so far had room for.</summary>
    public int Capacity => _ids.Length;

    public void Clear() => _count = 0;

    /// <summary>Appends a symbol.</summary>
    public void Add(int id)
    {
        if (_count == _ids.Length)
            Array.Resize(ref _ids, 2 * _count);
        _ids[_count++] = id;
    }

    /// <summary>Merges all that can be merged and appends the remaining ids to <paramref name="output"/>.</summary>
    public void MergeInto(List<int> output, MergeTable merges)
    {
        if (_count > 1)
            Merge(merges);
        else if (_count == 1)
            output.Add(_ids[0]);
        if (_count <= 1)
            return;

        for (int i = 0; i != End; i = _next[i])
            output.Add(_ids[i]);
    }

    private void Merge(MergeTable merges)
    {
        if (_next.Length < _ids.Length)
        {
            _next = new int[_ids.Length];
            _previous = new int[_ids.Length];
        }

        _heapCount = 0;
        for (int i = 0; i < _count; i++)
        {
            _previous[i] = i - 1;
            _next[i] = i + 1;
        }

        _next[_count - 1] = End;
        for (int i = 0; i + 1 < _count; i++)
            Offer(i, i + 1, merges);

        while (_heapCount > 0)
        {
            ulong top = Pop();
            int left = (int)(uint)top;
            int right = _next[left];

            // An entry is stale when its left symbol has been swallowed or its pair has changed. A pair at a given position
            // never comes back once changed, so the same rank means the same pair.
            if (_ids[left] < 0 || right == End || merges.GetRank(_ids[left], _ids[right], out int result) != (int)(top >> 32))
                continue;

            _ids[left] = result;
            _ids[right] = -1;
            int after = _next[right];
            _next[left] = after;
            if (after != End)
            {
                _previous[after] = left;
                Offer(left, after, merges);
            }

            if (_previous[left] != End)
                Offer(_previous[left], left, merges);
        }
    }

    private void Offer(int left, int right, MergeTable merges)
    {
        int rank = merges.GetRank(_ids[left], _ids[right], out _);
        if (rank != MergeTable.NoMerge)
            Push((ulong)(uint)rank << 32 | (uint)left);
    }

    private void Push(ulong entry)
    {
        if (_heapCount == _heap.Length)
            Array.Resize(ref _heap, 2 * _heapCount);
        int child = _heapCount++;
        while (child > 0)
        {
            int parent = child - 1 >> 1;
            if (_heap[parent] <= entry)
                break;
            _heap[child] = _heap[parent];
            child = parent;
        }

        _heap[child] = entry;
    }

    private ulong Pop()
    {
        ulong top = _heap[0];
        ulong last = _heap[--_heapCount];
        int parent = 0;
        for (int child = 1; child < _heapCount; child = 2 * parent + 1)
        {
            if (child + 1 < _heapCount && _heap[child + 1] < _heap[child])
                child++;
            if (last <= _heap[child])
                break;
            _heap[parent] = _heap[child];
            parent = child;
        }

        _heap[parent] = last;
        return top;
    }
}
