using System.Runtime.InteropServices;
using Hydragen.Core;

namespace Hydragen.Engine;

/// <summary>Which rows of a span's piece need logits.</summary>
internal enum LogitRows
{
    None,
    Last,
    All,
}

/// <summary>
/// Collects the pieces of spans that one forward pass computes and builds its token ids, slots and attention plan. Pieces must
/// be added in depth-first order of the prefix tree. Reused from step to step without allocation once warm.
/// </summary>
internal sealed class StepBuilder(PageAllocator allocator)
{
    private static long _lastStep;

    private readonly List<int> _tokenIds = [];
    private readonly List<int> _slots = [];
    private readonly List<int> _logitRows = [];
    private readonly List<PlanNode> _nodes = [];
    private readonly List<PlanSequence> _sequences = [];
    private readonly List<PrefixNode> _path = [];
    private readonly TreePlanner _planner = new();
    private long _step;

    public ReadOnlySpan<int> TokenIds => CollectionsMarshal.AsSpan(_tokenIds);

    public ReadOnlySpan<int> Slots => CollectionsMarshal.AsSpan(_slots);

    public ReadOnlySpan<int> LogitRows => CollectionsMarshal.AsSpan(_logitRows);

    public int NumRows => _tokenIds.Count;

    /// <summary>What <see cref="Build"/> built last, and refills the next time.</summary>
    public AttentionPlan? Plan { get; private set; }

    public void Clear()
    {
        _tokenIds.Clear();
        _slots.Clear();
        _logitRows.Clear();
        _nodes.Clear();
        _sequences.Clear();
        _step = Interlocked.Increment(ref _lastStep);
    }

    /// <summary>Adds the next <paramref name="numTokens"/> uncomputed tokens of a span.</summary>
    public void Add(TokenSpan span, int numTokens, LogitRows logitRows)
    {
        int end = span.NumComputed + numTokens;
        allocator.Take(span, end);
        for (int token = span.NumComputed; token < end; token++)
        {
            if (logitRows == Engine.LogitRows.All || (logitRows == Engine.LogitRows.Last && token == end - 1))
                _logitRows.Add(_tokenIds.Count);
            _tokenIds.Add(span.TokenIds[token]);
            _slots.Add(span.SlotOf(token));
        }
        int node = AddPath(span.Parent);
        _sequences.Add(new PlanSequence(node, numTokens, span.FirstPosition, end, span.Pages));
    }

    /// <summary>Adds the last token of a sequence, which may be one that the step before chooses.</summary>
    public void AddNext(Sequence sequence)
    {
        int token = sequence.NumComputed;
        allocator.Take(sequence, token + 1);
        _tokenIds.Add(sequence.PendingRow >= 0 ? ~sequence.PendingRow : sequence.TokenIds[token]);
        _slots.Add(sequence.SlotOf(token));
        int node = AddPath(sequence.Parent);
        _sequences.Add(new PlanSequence(node, 1, sequence.FirstPosition, token + 1, sequence.Pages));
    }

    /// <summary>Adds rows that nobody needs.</summary>
    public void AddUnused(int numRows)
    {
        for (int row = 0; row < numRows; row++)
        {
            _tokenIds.Add(0);
            _slots.Add(-1);
            _sequences.Add(new PlanSequence(-1, 1, 0, 0, default));
        }
    }

    public AttentionPlan Build(SharingMode mode)
    {
        Plan = _planner.Plan(CollectionsMarshal.AsSpan(_nodes), CollectionsMarshal.AsSpan(_sequences), mode, Plan);
        return Plan;
    }

    /// <summary>Makes a node and those above it known to this step, parents first; returns its index.</summary>
    private int AddPath(PrefixNode? node)
    {
        _path.Clear();
        for (PrefixNode? above = node; above is not null && above.Step != _step; above = above.Parent) _path.Add(above);
        for (int i = _path.Count - 1; i >= 0; i--)
        {
            PrefixNode next = _path[i];
            next.Step = _step;
            next.StepIndex = _nodes.Count;
            _nodes.Add(new PlanNode(next.Parent?.StepIndex ?? -1, next.FirstPosition, next.TokenIds.Count, next.Pages));
        }
        return node?.StepIndex ?? -1;
    }
}
