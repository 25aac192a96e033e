namespace Hydragen.Core;

/// <summary>
/// Turns a prefix tree and the sequences at its leaves into segments. With <see cref="SharingMode.Hydragen"/> a node becomes
/// one segment over the contiguous rows of all sequences below it (inter-sequence batching, arXiv 2402.05099, section 3.2);
/// otherwise every sequence gets its own segment for each node above it. Reusable, not thread-safe.
/// </summary>
public sealed class TreePlanner
{
    private readonly AttentionPlanBuilder _builder = new();
    private (int FirstRow, int NumRows)[] _nodeRows = [];
    private int[] _path = [];

    /// <summary>Builds a plan; <paramref name="reuse"/> is refilled when given.</summary>
    /// <param name="nodes">The tree, parents before children.</param>
    /// <param name="sequences">The sequences in row order: those below one node must stand side by side.</param>
    /// <param name="mode">How prefixes are read. For <see cref="SharingMode.Copied"/> pass sequences that own all their tokens.</param>
    /// <param name="reuse">A plan that nobody uses any more, or null.</param>
    /// <exception cref="ArgumentException">The tree or the order of the sequences is not as described.</exception>
    public AttentionPlan Plan(
        ReadOnlySpan<PlanNode> nodes, ReadOnlySpan<PlanSequence> sequences, SharingMode mode, AttentionPlan? reuse = null)
    {
        _builder.Clear();
        if (_nodeRows.Length < nodes.Length)
        {
            _nodeRows = new (int, int)[Math.Max(nodes.Length, 16)];
            _path = new int[_nodeRows.Length];
        }
        Array.Clear(_nodeRows);
        CheckTree(nodes);
        for (int i = 0; i < sequences.Length; i++) AddSequenceRows(nodes, sequences[i], i);

        if (mode == SharingMode.Hydragen)
        {
            for (int node = 0; node < nodes.Length; node++)
            {
                (int firstRow, int numRows) = _nodeRows[node];
                if (numRows > 0) AddNodeSegment(nodes[node], firstRow, numRows);
            }
        }
        if (mode != SharingMode.NoAttention)
        {
            int row = 0;
            foreach (PlanSequence sequence in sequences)
            {
                if (mode != SharingMode.Hydragen) AddPathSegments(nodes, sequence, row);
                AddOwnSegment(sequence, row);
                row += sequence.NumQueries;
            }
        }
        if (reuse is null) return _builder.Build();
        _builder.Build(reuse);
        return reuse;
    }

    private static void CheckTree(ReadOnlySpan<PlanNode> nodes)
    {
        for (int i = 0; i < nodes.Length; i++)
        {
            PlanNode node = nodes[i];
            if (node.Parent < -1 || node.Parent >= i)
                throw new ArgumentException($"Node {i} has parent {node.Parent}; a parent is -1 or a node listed before it.");
            int start = node.Parent < 0 ? 0 : nodes[node.Parent].FirstPosition + nodes[node.Parent].NumKeys;
            if (node.FirstPosition != start)
                throw new ArgumentException($"Node {i} starts at position {node.FirstPosition}, but its parent ends at {start}.");
        }
    }

    private void AddSequenceRows(ReadOnlySpan<PlanNode> nodes, PlanSequence sequence, int index)
    {
        if (sequence.Node < -1 || sequence.Node >= nodes.Length)
            throw new ArgumentException($"Sequence {index} continues node {sequence.Node}; there are {nodes.Length} nodes.");
        int start = sequence.Node < 0 ? 0 : nodes[sequence.Node].FirstPosition + nodes[sequence.Node].NumKeys;
        if (sequence.FirstPosition != start)
            throw new ArgumentException($"Sequence {index} starts at position {sequence.FirstPosition}, but its prefix ends at {start}.");
        if (sequence.NumQueries < 0 || (sequence.NumKeys != 0 && sequence.NumKeys < sequence.NumQueries))
        {
            throw new ArgumentException(
                $"Sequence {index} has {sequence.NumQueries} queries and {sequence.NumKeys} own tokens; the queries are the last own tokens, or there are none.");
        }
        int firstQuery = sequence.NumKeys == 0 ? 0 : sequence.NumKeys - sequence.NumQueries;
        int row = _builder.AddRows(sequence.FirstPosition + firstQuery, sequence.NumQueries);
        if (sequence.NumQueries == 0) return;
        for (int node = sequence.Node; node >= 0; node = nodes[node].Parent)
        {
            (int firstRow, int numRows) = _nodeRows[node];
            if (numRows == 0) firstRow = row;
            else if (firstRow + numRows != row)
                throw new ArgumentException($"Sequence {index} belongs to node {node}, whose other sequences do not stand beside it; order sequences depth-first.");
            _nodeRows[node] = (firstRow, numRows + sequence.NumQueries);
        }
    }

    private void AddNodeSegment(PlanNode node, int firstRow, int numRows)
    {
        if (node.NumKeys > 0)
            _builder.AddSegment(firstRow, numRows, node.Pages.Span, 0, node.NumKeys, node.FirstPosition, AttentionMask.Full);
    }

    private void AddPathSegments(ReadOnlySpan<PlanNode> nodes, PlanSequence sequence, int row)
    {
        int depth = 0;
        for (int node = sequence.Node; node >= 0; node = nodes[node].Parent) _path[depth++] = node;
        while (depth > 0) AddNodeSegment(nodes[_path[--depth]], row, sequence.NumQueries);
    }

    private void AddOwnSegment(PlanSequence sequence, int row)
    {
        if (sequence.NumKeys == 0 || sequence.NumQueries == 0) return;
        AttentionMask mask = sequence.NumQueries == 1 ? AttentionMask.Full : AttentionMask.Causal;
        _builder.AddSegment(row, sequence.NumQueries, sequence.Pages.Span, 0, sequence.NumKeys, sequence.FirstPosition, mask);
    }
}
