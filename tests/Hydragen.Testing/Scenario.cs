using Hydragen.Core;

namespace Hydragen.Testing;

/// <summary>
/// A prefix tree with random queries, keys and values. Pages are dealt out in random order, and every slot that nobody owns is
/// NaN. Keys and values are kept dense by slot for the reference.
/// </summary>
public sealed class Scenario
{
    private readonly List<(int Parent, int Length)> _nodes = [];
    private readonly List<(int Node, int NumQueries, int Length)> _sequences = [];
    private readonly Random _random;
    private bool[] _isOwned = [];
    private PageKind[] _kinds = [];

    public Scenario(AttentionShape shape, int seed)
    {
        Shape = shape;
        _random = new Random(seed);
    }

    public AttentionShape Shape { get; }

    public AttentionOptions Options { get; init; } = AttentionOptions.Default;

    /// <summary>Of keys, values and queries; caches of bytes have BF16 queries.</summary>
    public ElementType Type
    {
        init => (KvType, QueryType) = (value, QueryTypeFor(value));
    }

    public ElementType KvType { get; init; }

    /// <summary>Of the keys and values of nodes; null like all others.</summary>
    public ElementType? PrefixKvType { get; init; }

    public ElementType QueryType { get; init; }

    public ElementType OutputType { get; init; }

    public float ValueMean { get; init; }

    public float QueryScale { get; init; } = 1;

    /// <summary>Of each key/value head, in pages of FP8; null for none.</summary>
    public KvScale[]? Scales { get; private set; }

    public int NumSparePages { get; init; } = 2;

    public float[] Query { get; private set; } = [];

    public float[] Key { get; private set; } = [];

    public float[] Value { get; private set; } = [];

    public PlanNode[] Nodes { get; private set; } = [];

    public PlanSequence[] Sequences { get; private set; } = [];

    public int NumPages { get; private set; }

    public int AddNode(int parent, int length)
    {
        _nodes.Add((parent, length));
        return _nodes.Count - 1;
    }

    public void AddSequence(int node, int numQueries, int length) => _sequences.Add((node, numQueries, length));

    /// <summary>Deals pages and draws the numbers.</summary>
    public Scenario Fill()
    {
        int PagesFor(int length) => (length + KvCache.PageSize - 1) / KvCache.PageSize;
        NumPages = NumSparePages + _nodes.Sum(node => PagesFor(node.Length)) + _sequences.Sum(sequence => PagesFor(sequence.Length));
        int[] free = Enumerable.Range(0, NumPages).ToArray();
        _random.Shuffle(free);
        int next = 0;
        _isOwned = new bool[NumPages * KvCache.PageSize];
        _kinds = new PageKind[NumPages];
        int[] Deal(int length, PageKind kind)
        {
            int[] pages = free[next..(next + PagesFor(length))];
            next += pages.Length;
            foreach (int page in pages) _kinds[page] = kind;
            for (int i = 0; i < length; i++) _isOwned[pages[i / KvCache.PageSize] * KvCache.PageSize + i % KvCache.PageSize] = true;
            return pages;
        }
        Nodes = new PlanNode[_nodes.Count];
        for (int i = 0; i < Nodes.Length; i++)
        {
            int start = _nodes[i].Parent < 0 ? 0 : Nodes[_nodes[i].Parent].FirstPosition + Nodes[_nodes[i].Parent].NumKeys;
            Nodes[i] = new PlanNode(_nodes[i].Parent, start, _nodes[i].Length, Deal(_nodes[i].Length, PageKind.Prefix));
        }
        Sequences = new PlanSequence[_sequences.Count];
        for (int i = 0; i < Sequences.Length; i++)
        {
            (int node, int numQueries, int length) = _sequences[i];
            int start = node < 0 ? 0 : Nodes[node].FirstPosition + Nodes[node].NumKeys;
            Sequences[i] = new PlanSequence(node, numQueries, start, length, Deal(length, PageKind.Suffix));
        }
        int tokenSize = Shape.NumKvHeads * Shape.HeadDim;
        int numRows = _sequences.Sum(sequence => sequence.NumQueries);
        Query = RandomTensors.Round(RandomTensors.Normal(_random, numRows * Shape.NumHeads * Shape.HeadDim, 0, QueryScale), QueryType);
        Key = Stored(RandomTensors.Normal(_random, _isOwned.Length * tokenSize));
        Value = Stored(RandomTensors.Normal(_random, _isOwned.Length * tokenSize, ValueMean));
        for (int slot = 0; slot < _isOwned.Length; slot++)
        {
            if (_isOwned[slot]) continue;
            Key.AsSpan(slot * tokenSize, tokenSize).Fill(float.NaN);
            Value.AsSpan(slot * tokenSize, tokenSize).Fill(float.NaN);
        }
        return this;
    }

    /// <summary>The same tree and numbers on other pages.</summary>
    public Scenario MovePages(int seed)
    {
        int[] target = Enumerable.Range(0, NumPages).ToArray();
        new Random(seed).Shuffle(target);
        int pageSize = KvCache.PageSize * Shape.NumKvHeads * Shape.HeadDim;
        Scenario moved = Copy();
        (moved.Key, moved.Value) = (new float[Key.Length], new float[Value.Length]);
        (moved._isOwned, moved._kinds) = (new bool[_isOwned.Length], new PageKind[NumPages]);
        for (int page = 0; page < NumPages; page++)
        {
            moved._kinds[target[page]] = _kinds[page];
            Array.Copy(Key, page * pageSize, moved.Key, target[page] * pageSize, pageSize);
            Array.Copy(Value, page * pageSize, moved.Value, target[page] * pageSize, pageSize);
        }
        int[] Move(ReadOnlyMemory<int> pages) => Array.ConvertAll(pages.ToArray(), page => target[page]);
        moved.Nodes = Array.ConvertAll(Nodes, node => node with { Pages = Move(node.Pages) });
        moved.Sequences = Array.ConvertAll(Sequences, sequence => sequence with { Pages = Move(sequence.Pages) });
        return moved;
    }

    /// <summary>Some of the sequences in another order, with their rows; keys and values are shared with this scenario.</summary>
    public Scenario Choose(params int[] order)
    {
        int rowSize = Shape.NumHeads * Shape.HeadDim;
        var query = new List<float>();
        foreach (int i in order) query.AddRange(Query.AsSpan(FirstRow(i) * rowSize, Sequences[i].NumQueries * rowSize));
        Scenario chosen = Copy();
        chosen.Query = [.. query];
        chosen.Sequences = Array.ConvertAll(order, i => Sequences[i]);
        return chosen;
    }

    /// <summary>
    /// The same with the keys and values of each head multiplied with scales that FP8 pages divide them by, and queries divided by those of their
    /// keys: products are the same, and results are those of this scenario times the scales of their values.
    /// </summary>
    public Scenario Scaled(params KvScale[] scales)
    {
        float[] Times(float[] values, int numHeads, Func<int, float> factor) =>
            [.. values.Select((value, i) => value * factor(i / Shape.HeadDim % numHeads))];
        Scenario scaled = Copy();
        scaled.Scales = scales;
        scaled.Query = Times(Query, Shape.NumHeads, head => 1 / scales[head / Shape.GroupSize].Key);
        scaled.Key = Times(Key, Shape.NumKvHeads, head => scales[head].Key);
        scaled.Value = Times(Value, Shape.NumKvHeads, head => scales[head].Value);
        return scaled;
    }

    /// <summary>The only sequence while a part of its queries is computed: what comes after them is not in the cache yet, and NaN here.</summary>
    /// <param name="firstQuery">First query of the part.</param>
    /// <param name="numQueries">Queries of the part.</param>
    public Scenario Chunk(int firstQuery, int numQueries)
    {
        PlanSequence whole = Sequences.Single();
        int rowSize = Shape.NumHeads * Shape.HeadDim, tokenSize = Shape.NumKvHeads * Shape.HeadDim;
        int numKeys = whole.NumKeys - whole.NumQueries + firstQuery + numQueries;
        float[] key = [.. Key], value = [.. Value];
        for (int i = numKeys; i < whole.NumKeys; i++)
        {
            int slot = whole.Pages.Span[i / KvCache.PageSize] * KvCache.PageSize + i % KvCache.PageSize;
            key.AsSpan(slot * tokenSize, tokenSize).Fill(float.NaN);
            value.AsSpan(slot * tokenSize, tokenSize).Fill(float.NaN);
        }
        Scenario chunk = Copy();
        chunk.Query = Query[(firstQuery * rowSize)..((firstQuery + numQueries) * rowSize)];
        (chunk.Key, chunk.Value) = (key, value);
        chunk.Sequences = [whole with { NumQueries = numQueries, NumKeys = numKeys }];
        return chunk;
    }

    private Scenario Copy() => (Scenario)MemberwiseClone();

    /// <summary>First query row of a sequence.</summary>
    public int FirstRow(int sequence) => Sequences.Take(sequence).Sum(other => other.NumQueries);

    public AttentionPlan Plan(SharingMode mode = SharingMode.Hydragen) => new TreePlanner().Plan(Nodes, Sequences, mode);

    /// <summary>The type of queries that a cache type is tested with.</summary>
    public static ElementType QueryTypeFor(ElementType kvType) => kvType.IsByte() ? ElementType.BFloat16 : kvType;

    /// <summary>What the cache keeps of keys or values.</summary>
    public float[] Stored(float[] values)
    {
        float[] stored = [.. values];
        ForEachPage(stored, (page, headDim, type) => KvRounding.Round(page, headDim, type));
        return stored;
    }

    /// <summary>What a backend computes with: where it multiplies INT8 in FP16, it rounds levels times their scales.</summary>
    public float[] Stored(float[] values, IAttentionBackend? backend)
    {
        float[] stored = Stored(values);
        if (backend is null) return stored;
        ForEachPage(stored, (page, _, type) =>
        {
            if (type == ElementType.Int8 && backend.WeightTypeFor(QueryType, type) == ElementType.Float16)
                RandomTensors.Round(page.ToArray(), ElementType.Float16).CopyTo(page);
        });
        return stored;
    }

    /// <summary>The FP64 definition, of the keys and values as the cache has them, or as a backend computes with them.</summary>
    public (double[] Output, double[] LogSumExp) Reference(AttentionPlan plan, IAttentionBackend? backend = null)
    {
        var output = new double[plan.NumRows * Shape.NumHeads * Shape.HeadDim];
        var logSumExp = new double[plan.NumRows * Shape.NumHeads];
        ReferenceAttention.Compute(plan, Shape, Options, Query, Stored(Key, backend), Stored(Value, backend), output, logSumExp);
        return (output, logSumExp);
    }

    /// <summary>The backend's answer.</summary>
    public (float[] Output, float[] LogSumExp) Run(IAttentionBackend backend, AttentionPlan plan)
    {
        using KvCache cache = CreateCache(backend);
        return Run(backend, plan, cache);
    }

    /// <summary>A cache of two layers; the first is all NaN.</summary>
    public KvCache CreateCache(IAttentionBackend backend)
    {
        KvCache cache = backend.CreateKvCache(CacheShape, 0);
        MakePages(cache);
        foreach (PageKind kind in (PageKind[])[PageKind.Suffix, PageKind.Prefix])
        {
            if (Scales is not null && CacheShape.TypeOf(kind).IsFloat8()) cache.SetScales(kind, [.. Scales, .. Scales]);
        }
        int[] slots = Enumerable.Range(0, _isOwned.Length).ToArray();
        var poison = new float[Key.Length];
        Array.Fill(poison, float.NaN);
        cache.Write(0, slots, poison, poison);
        cache.Write(1, slots, Key, Value);
        return cache;
    }

    /// <summary>Gives an empty cache the pages of this scenario, each of its kind.</summary>
    public void MakePages(KvCache cache)
    {
        if (!cache.Shape.IsMixed) cache.Reserve(NumPages);
        for (int page = cache.NumPages; page < NumPages; page++) cache.Reserve(cache.NumPagesOf(_kinds[page]) + 1, _kinds[page]);
    }

    public (float[] Output, float[] LogSumExp) Run(IAttentionBackend backend, AttentionPlan plan, KvCache cache) =>
        RunAs(OutputType, backend, plan, cache);

    public (float[] Output, float[] LogSumExp) RunAs(ElementType outputType, IAttentionBackend backend, AttentionPlan plan, KvCache cache)
    {
        using DeviceBuffer query = backend.Allocate(QueryType, Query.Length);
        using DeviceBuffer output = backend.Allocate(outputType, Query.Length);
        using DeviceBuffer logSumExp = backend.Allocate(ElementType.Float32, plan.NumRows * Shape.NumHeads);
        query.Upload(Query);
        var result = new float[Query.Length];
        Array.Fill(result, float.NaN);
        output.Upload(result);
        backend.Attention(plan, Shape, Options, query, cache, 1, output, logSumExp);
        var logs = new float[plan.NumRows * Shape.NumHeads];
        output.Download(result);
        logSumExp.Download(logs);
        return (result, logs);
    }

    /// <summary>Runs a plan and compares with the reference.</summary>
    public void Verify(IAttentionBackend backend, SharingMode mode = SharingMode.Hydragen, double tolerance = Tolerance.Attention) =>
        Verify(backend, Plan(mode), tolerance);

    public void Verify(IAttentionBackend backend, AttentionPlan plan, double tolerance = Tolerance.Attention)
    {
        (double[] expected, double[] expectedLogs) = Reference(plan, backend);
        (float[] output, float[] logSumExp) = Run(backend, plan);
        double[] magnitudes = MeanMagnitudes(plan, backend);
        for (int i = 0; i < expectedLogs.Length; i++)
        {
            if (double.IsNegativeInfinity(expectedLogs[i])) Assert.Equal(float.NegativeInfinity, logSumExp[i]);
            else AssertClose(expectedLogs[i], logSumExp[i], Tolerance.LogSumExp * Math.Max(1, Math.Abs(expectedLogs[i])), "log-sum-exp", i);
        }
        for (int i = 0; i < expected.Length; i++)
            AssertClose(expected[i], output[i], tolerance + WeightTypes(backend).Max(type => Tolerance.RoundedWeights(magnitudes[i], type)) + Tolerance.Rounding(expected[i], OutputType), "output", i);
    }

    /// <summary>Whether the backend rounds weights of this scenario to 16 bits.</summary>
    public bool RoundsWeights(IAttentionBackend backend) => WeightTypes(backend).Any(type => type != ElementType.Float32);

    /// <summary>What the backend rounds weights of sequences to, and of nodes unless they have a type of their own.</summary>
    public ElementType WeightType(IAttentionBackend backend) => backend.WeightTypeFor(QueryType, KvType);

    private ElementType[] WeightTypes(IAttentionBackend backend) =>
        [WeightType(backend), backend.WeightTypeFor(QueryType, CacheShape.TypeOf(PageKind.Prefix))];

    /// <summary>The weighted means of |value|, to which errors of weights are relative.</summary>
    public double[] MeanMagnitudes(AttentionPlan plan, IAttentionBackend backend)
    {
        var output = new double[plan.NumRows * Shape.NumHeads * Shape.HeadDim];
        ReferenceAttention.Compute(
            plan, Shape, Options, Query, Stored(Key, backend), Array.ConvertAll(Stored(Value, backend), Math.Abs), output, new double[plan.NumRows * Shape.NumHeads]);
        return output;
    }

    /// <summary>Of the caches that it makes.</summary>
    public KvCacheShape CacheShape => new(2, Shape.NumKvHeads, Shape.HeadDim, KvType, PrefixKvType);

    /// <summary>Visits the pages of keys or values with their types; all at once when all have one.</summary>
    private void ForEachPage(Span<float> values, PageAction action)
    {
        if (!CacheShape.IsMixed)
        {
            action(values, Shape.HeadDim, KvType);
            return;
        }
        int size = KvCache.PageSize * Shape.NumKvHeads * Shape.HeadDim;
        for (int page = 0; page < _kinds.Length; page++) action(values.Slice(page * size, size), Shape.HeadDim, CacheShape.TypeOf(_kinds[page]));
    }

    private delegate void PageAction(Span<float> values, int headDim, ElementType type);

    private static void AssertClose(double expected, double actual, double tolerance, string what, int index) =>
        Assert.True(Math.Abs(expected - actual) <= tolerance, $"{what} {index} is {actual}, expected {expected} within {tolerance}");
}
