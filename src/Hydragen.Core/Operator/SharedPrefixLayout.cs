namespace Hydragen.Core;

/// <summary>Checks the tensors of one operator call, gives nodes and sequences pages, orders the rows and builds the plan.</summary>
internal sealed class SharedPrefixLayout
{
    private readonly AttentionShape _shape;
    private readonly IReadOnlyList<SharedPrefixNode> _nodes;
    private readonly IReadOnlyList<SharedPrefixSequence> _sequences;
    private readonly int[] _order;
    private readonly List<PlanNode> _privateNodes = [];
    private readonly List<(int FirstPage, int Length, ReadOnlyMemory<float> Key, ReadOnlyMemory<float> Value, int FirstToken)> _runs = [];

    public SharedPrefixLayout(
        AttentionShape shape, AttentionOptions options, IReadOnlyList<SharedPrefixNode> nodes,
        IReadOnlyList<SharedPrefixSequence> sequences, SharingMode mode)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Validate(shape);
        _shape = shape;
        _nodes = nodes ?? throw new ArgumentNullException(nameof(nodes));
        _sequences = sequences ?? throw new ArgumentNullException(nameof(sequences));
        CheckTensors();

        _order = DepthFirstOrder();
        var planNodes = new PlanNode[nodes.Count];
        bool copied = mode == SharingMode.Copied;
        for (int i = 0; i < nodes.Count; i++)
        {
            SharedPrefixNode node = nodes[i];
            int firstPosition = node.Parent < 0 ? 0 : planNodes[node.Parent].FirstPosition + planNodes[node.Parent].NumKeys;
            int[] pages = copied ? [] : AddPages(node.Length);
            if (!copied) AddRun(pages, 0, node.Length, node.Key, node.Value);
            planNodes[i] = new PlanNode(node.Parent, firstPosition, node.Length, pages);
        }
        NumNodePages = NumPages;
        var planSequences = new PlanSequence[sequences.Count];
        var rows = new List<float>();
        for (int i = 0; i < sequences.Count; i++)
        {
            SharedPrefixSequence sequence = sequences[_order[i]];
            rows.AddRange(sequence.Query.Span);
            planSequences[i] = copied ? CopySequence(sequence, planNodes) : OwnSequence(sequence, planNodes);
        }
        Query = [.. rows];
        Plan = new TreePlanner().Plan(copied ? _privateNodes.ToArray() : planNodes, planSequences, mode);
    }

    public delegate void RunWriter(ReadOnlySpan<int> slots, ReadOnlySpan<float> key, ReadOnlySpan<float> value);

    public AttentionPlan Plan { get; }

    public int NumPages { get; private set; }

    /// <summary>How many of them, the first ones, belong to nodes.</summary>
    public int NumNodePages { get; }

    public int NumRows => Plan.NumRows;

    /// <summary>Queries in row order, <c>[numRows, numHeads, headDim]</c>.</summary>
    public float[] Query { get; }

    /// <summary>Visits the keys and values to store; the slots of one visit are consecutive.</summary>
    public void ForEachRun(RunWriter write)
    {
        int width = _shape.NumKvHeads * _shape.HeadDim;
        var slots = new List<int>();
        foreach ((int firstPage, int length, ReadOnlyMemory<float> key, ReadOnlyMemory<float> value, int firstToken) in _runs)
        {
            if (length == 0) continue;
            slots.Clear();
            for (int token = 0; token < length; token++) slots.Add(firstPage * KvCache.PageSize + firstToken + token);
            write(slots.ToArray(), key.Span[..(length * width)], value.Span[..(length * width)]);
        }
    }

    /// <summary>Cuts row-ordered results into one a sequence, in the caller's order.</summary>
    public SharedPrefixResult[] Split(float[] outputs, float[] logSumExps)
    {
        var results = new SharedPrefixResult[_sequences.Count];
        int row = 0;
        foreach (int index in _order)
        {
            int numHeads = _shape.NumHeads, end = row + _sequences[index].QueryLength;
            results[index] = new SharedPrefixResult(
                outputs[(row * numHeads * _shape.HeadDim)..(end * numHeads * _shape.HeadDim)],
                logSumExps[(row * numHeads)..(end * numHeads)]);
            row = end;
        }
        return results;
    }

    private PlanSequence OwnSequence(SharedPrefixSequence sequence, PlanNode[] nodes)
    {
        int[] pages = AddPages(sequence.SuffixLength);
        AddRun(pages, 0, sequence.SuffixLength, sequence.Key, sequence.Value);
        return new PlanSequence(sequence.Node, sequence.QueryLength, EndOf(sequence.Node, nodes), sequence.SuffixLength, pages);
    }

    private PlanSequence CopySequence(SharedPrefixSequence sequence, PlanNode[] nodes)
    {
        int prefixLength = EndOf(sequence.Node, nodes), length = prefixLength + sequence.SuffixLength;
        int[] pages = AddPages(length);
        for (int node = sequence.Node; node >= 0; node = nodes[node].Parent)
            AddRun(pages, nodes[node].FirstPosition, nodes[node].NumKeys, _nodes[node].Key, _nodes[node].Value);
        AddRun(pages, prefixLength, sequence.SuffixLength, sequence.Key, sequence.Value);

        if (sequence.SuffixLength > 0) return new PlanSequence(-1, sequence.QueryLength, 0, length, pages);

        // Queries without own tokens stand behind their copy of the prefix, so the copy is a node that nobody else uses.
        _privateNodes.Add(new PlanNode(-1, 0, length, pages));
        return new PlanSequence(_privateNodes.Count - 1, sequence.QueryLength, length, 0, default);
    }

    private static int EndOf(int node, PlanNode[] nodes) => node < 0 ? 0 : nodes[node].FirstPosition + nodes[node].NumKeys;

    private int[] AddPages(int numTokens)
    {
        int count = (numTokens + KvCache.PageSize - 1) / KvCache.PageSize;
        var pages = new int[count];
        for (int i = 0; i < count; i++) pages[i] = NumPages++;
        return pages;
    }

    private void AddRun(int[] pages, int firstToken, int length, ReadOnlyMemory<float> key, ReadOnlyMemory<float> value)
    {
        if (length > 0) _runs.Add((pages[0], length, key, value, firstToken));
    }

    /// <summary>Sequences sorted so that those below one node stand side by side.</summary>
    private int[] DepthFirstOrder()
    {
        var rank = new int[_nodes.Count];
        var children = new List<int>[_nodes.Count + 1];
        for (int i = 0; i <= _nodes.Count; i++) children[i] = [];
        for (int i = 0; i < _nodes.Count; i++) children[_nodes[i].Parent + 1].Add(i);
        int next = 0;
        var stack = new Stack<int>();
        stack.Push(-1);
        while (stack.TryPop(out int node))
        {
            if (node >= 0) rank[node] = next++;
            for (int i = children[node + 1].Count - 1; i >= 0; i--) stack.Push(children[node + 1][i]);
        }
        var order = new int[_sequences.Count];
        for (int i = 0; i < order.Length; i++) order[i] = i;
        return [.. order.OrderBy(i => _sequences[i].Node < 0 ? -1 : rank[_sequences[i].Node])];
    }

    private void CheckTensors()
    {
        int kvWidth = _shape.NumKvHeads * _shape.HeadDim, queryWidth = _shape.NumHeads * _shape.HeadDim;
        long position = 0;
        for (int i = 0; i < _nodes.Count; i++)
        {
            SharedPrefixNode node = _nodes[i];
            if (node.Parent < -1 || node.Parent >= i)
                throw new ArgumentException($"Node {i} has parent {node.Parent}; a parent is -1 or a node listed before it.");
            CheckLength($"The key of node {i}", node.Key.Length, node.Length, kvWidth);
            CheckLength($"The value of node {i}", node.Value.Length, node.Length, kvWidth);
            position += node.Length;
        }
        for (int i = 0; i < _sequences.Count; i++)
        {
            SharedPrefixSequence sequence = _sequences[i];
            if (sequence.Node < -1 || sequence.Node >= _nodes.Count)
                throw new ArgumentException($"Sequence {i} continues node {sequence.Node}; there are {_nodes.Count} nodes.");
            if (sequence.SuffixLength != 0 && sequence.SuffixLength < sequence.QueryLength)
            {
                throw new ArgumentException(
                    $"Sequence {i} has {sequence.QueryLength} queries but {sequence.SuffixLength} own tokens; the queries are the last own tokens, or there are no own tokens.");
            }
            CheckLength($"The query of sequence {i}", sequence.Query.Length, sequence.QueryLength, queryWidth);
            CheckLength($"The key of sequence {i}", sequence.Key.Length, sequence.SuffixLength, kvWidth);
            CheckLength($"The value of sequence {i}", sequence.Value.Length, sequence.SuffixLength, kvWidth);
            position += Math.Max(sequence.SuffixLength, sequence.QueryLength);
        }
        if (position > int.MaxValue - KvCache.PageSize)
            throw new ArgumentException($"The {position} tokens of one call exceed the largest integer.");
    }

    private static void CheckLength(string what, int found, int length, int width)
    {
        if (length < 0) throw new ArgumentException($"{what} has the negative length {length}.");
        if (found != (long)length * width)
            throw new ArgumentException($"{what} has {found} numbers; {length} tokens of {width} need {(long)length * width}.");
    }
}
