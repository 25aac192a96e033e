using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>Caches full of random keys and values for cells that differ in their suffix only, queries, and plans.</summary>
internal sealed class AttentionWorkload : IDisposable
{
    private readonly IAttentionBackend _backend;
    private readonly AttentionSetup _setup;
    private readonly AttentionCell _cell;
    private readonly AttentionMemory _memory;
    private readonly DeviceBuffer _query;
    private readonly DeviceBuffer _output;
    private readonly Dictionary<(AttentionMode Mode, int Suffix), AttentionPlan> _plans = [];
    private readonly int[] _nextLayer = new int[Enum.GetValues<AttentionMode>().Length];
    private KvCache? _shared;
    private KvCache? _copies;

    /// <param name="device">Computes and makes the numbers.</param>
    /// <param name="setup">The run.</param>
    /// <param name="cell">The cell with the longest suffix.</param>
    /// <param name="memory">Its memory.</param>
    /// <exception cref="InsufficientMemoryException">The device cannot hold the queries and results.</exception>
    public AttentionWorkload(AttentionDevice device, AttentionSetup setup, AttentionCell cell, AttentionMemory memory)
    {
        _backend = device.Backend;
        _setup = setup;
        _cell = cell;
        _memory = memory;
        int numRows = checked((int)cell.NumRows);
        _query = _backend.Allocate(setup.QueryType, (long)numRows * cell.Shape.NumHeads * cell.Shape.HeadDim);
        try
        {
            _output = _backend.Allocate(device.OutputType(setup.QueryType), _query.Length);
            device.FillQueries(_query, numRows, cell.Shape);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Bytes of the queries and the output.</summary>
    public long BufferBytes => _query.Length * _query.ElementType.SizeInBytes() + _output.Length * _output.ElementType.SizeInBytes();

    /// <summary>Bytes of the cache that a mode reads.</summary>
    public long CacheBytes(AttentionMode mode) => CacheOf(mode) is { } cache ? cache.SizeInBytes : 0;

    /// <summary>Makes and fills the cache that a mode needs, unless it is there.</summary>
    /// <exception cref="InsufficientMemoryException">The device cannot hold it.</exception>
    public void Prepare(AttentionDevice device, AttentionMode mode, CancellationToken cancellationToken)
    {
        if (CacheOf(mode) is not null) return;
        bool isCopied = mode == AttentionMode.Copied;
        long numPages = isCopied ? _memory.CopiedPages : _memory.SharedPages;
        KvCacheShape shape = _setup.CacheShape(_cell, _memory.LayersFor(mode), isCopied);
        KvCache cache = _backend.CreateKvCache(shape, shape.IsMixed ? 0 : (int)numPages);
        if (isCopied) _copies = cache;
        else _shared = cache;
        if (shape.IsMixed)
        {
            cache.Reserve((int)_memory.NodePages, PageKind.Prefix);
            cache.Reserve((int)(numPages - _memory.NodePages));
        }
        device.Fill(cache, isCopied ? CopiedRuns() : SharedRuns(), cancellationToken);
    }

    /// <summary>One step of attention, on the mode's next layer.</summary>
    /// <param name="mode">The mode; it was prepared.</param>
    /// <param name="suffix">Own tokens of each sequence, at most those of the cell.</param>
    public void Run(AttentionMode mode, int suffix)
    {
        KvCache cache = CacheOf(mode)!;
        AttentionPlan plan = PlanOf(mode, suffix);
        int layer = _nextLayer[(int)mode];
        _nextLayer[(int)mode] = (layer + 1) % cache.Shape.NumLayers;
        _backend.Attention(plan, _cell.Shape, AttentionOptions.Default, _query, cache, layer, _output, logSumExp: null);
    }

    /// <summary>How a mode's nodes are computed.</summary>
    public NodeSharing SharingOf(AttentionMode mode, int suffix) => _backend.SharingOf(PlanOf(mode, suffix), _cell.Shape, _setup.QueryType, CacheOf(mode)!);

    /// <summary>Runs a mode on the first layer, whose content is the same in all modes, and returns its output.</summary>
    public float[] RunFirstLayer(AttentionMode mode, int suffix)
    {
        _nextLayer[(int)mode] = 0;
        return RunNextLayer(mode, suffix);
    }

    /// <summary>Like <see cref="Run"/>, and returns the output.</summary>
    public float[] RunNextLayer(AttentionMode mode, int suffix)
    {
        Run(mode, suffix);
        var output = new float[_output.Length];
        _output.Download(output);
        return output;
    }

    public void Dispose()
    {
        _query.Dispose();
        _output?.Dispose();
        _shared?.Dispose();
        _copies?.Dispose();
    }

    private KvCache? CacheOf(AttentionMode mode) => mode == AttentionMode.Copied ? _copies : _shared;

    private static int Stream(int node) => -1 - node;

    /// <summary>The node of a level that stands above a sequence.</summary>
    private int NodeOf(int level, int sequence) => (int)((long)sequence * _cell.Levels[level].NumNodes / _cell.Batch);

    private IEnumerable<TokenRun> SharedRuns()
    {
        int page = 0, node = 0;
        foreach (TreeLevel level in _cell.Levels)
        {
            for (int i = 0; i < level.NumNodes; i++, page += AttentionMemory.PagesFor(level.Length))
                yield return new TokenRun(page * KvCache.PageSize, level.Length, Stream(node++), 0);
        }
        for (int i = 0; i < _cell.Batch; i++, page += _memory.SuffixPages) yield return new TokenRun(page * KvCache.PageSize, _cell.Suffix, i, 0);
    }

    private IEnumerable<TokenRun> CopiedRuns()
    {
        for (int i = 0; i < _cell.Batch; i++)
        {
            int slot = i * _memory.CopyPages * KvCache.PageSize, firstNode = 0;
            for (int level = 0; level < _cell.Levels.Count; level++)
            {
                (int numNodes, int length) = _cell.Levels[level];
                yield return new TokenRun(slot, length, Stream(firstNode + NodeOf(level, i)), 0);
                slot += length;
                firstNode += numNodes;
            }
            yield return new TokenRun(slot, _cell.Suffix, i, 0);
        }
    }

    private AttentionPlan PlanOf(AttentionMode mode, int suffix)
    {
        if (!_plans.TryGetValue((mode, suffix), out AttentionPlan? plan)) _plans.Add((mode, suffix), plan = Plan(mode, suffix));
        return plan;
    }

    private AttentionPlan Plan(AttentionMode mode, int suffix)
    {
        bool isCopied = mode == AttentionMode.Copied, hasNodes = mode is not (AttentionMode.Copied or AttentionMode.Sequences) && _cell.Levels.Count > 0;
        int ownKeys = mode == AttentionMode.Nodes ? 0 : suffix + (isCopied ? _cell.Prefix : 0);
        int firstPosition = hasNodes ? _cell.Prefix : 0;
        var sequences = new PlanSequence[_cell.Batch];
        for (int i = 0; i < sequences.Length; i++)
        {
            int node = hasNodes ? _cell.Levels.Take(_cell.Levels.Count - 1).Sum(level => level.NumNodes) + NodeOf(_cell.Levels.Count - 1, i) : -1;
            long firstPage = isCopied ? (long)i * _memory.CopyPages : _memory.NodePages + (long)i * _memory.SuffixPages;
            sequences[i] = new PlanSequence(node, _cell.QueriesOf(i), firstPosition, ownKeys, Pages(firstPage, AttentionMemory.PagesFor(ownKeys)));
        }
        return new TreePlanner().Plan(hasNodes ? Nodes() : [], sequences, mode.Sharing());
    }

    private PlanNode[] Nodes()
    {
        var nodes = new List<PlanNode>();
        int page = 0, position = 0, firstAbove = 0;
        for (int i = 0; i < _cell.Levels.Count; i++)
        {
            (int numNodes, int length) = _cell.Levels[i];
            int first = nodes.Count, numPages = AttentionMemory.PagesFor(length);
            for (int node = 0; node < numNodes; node++, page += numPages)
            {
                int parent = i == 0 ? -1 : firstAbove + (int)((long)node * _cell.Levels[i - 1].NumNodes / numNodes);
                nodes.Add(new PlanNode(parent, position, length, Pages(page, numPages)));
            }
            position += length;
            firstAbove = first;
        }
        return [.. nodes];
    }

    private static int[] Pages(long first, int count) => [.. Enumerable.Range((int)first, count)];
}
