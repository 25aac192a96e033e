using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>One cell in memory: caches full of random keys and values, queries, and a plan for each mode.</summary>
internal sealed class AttentionWorkload : IDisposable
{
    private const int PrefixStream = -1;
    private static readonly SharingMode[] AllModes = Enum.GetValues<SharingMode>();

    private readonly IComputeBackend _backend;
    private readonly AttentionSetup _setup;
    private readonly AttentionCell _cell;
    private readonly AttentionMemory _memory;
    private readonly DeviceBuffer _query;
    private readonly DeviceBuffer _output;
    private readonly KvCache? _shared;
    private readonly KvCache? _copies;
    private readonly AttentionPlan?[] _plans = new AttentionPlan?[AllModes.Length];
    private readonly int[] _nextLayer = new int[AllModes.Length];

    public AttentionWorkload(
        IComputeBackend backend, AttentionSetup setup, AttentionCell cell, AttentionMemory memory, NormalPool pool, CancellationToken cancellationToken)
    {
        _backend = backend;
        _setup = setup;
        _cell = cell;
        _memory = memory;
        int rowSize = setup.Shape.NumHeads * setup.Shape.HeadDim, numRows = cell.Batch * setup.QueryLength;
        _query = backend.Allocate(setup.KvType, (long)numRows * rowSize);
        _output = backend.Allocate(ElementType.Float32, _query.Length);
        try
        {
            for (int row = 0; row < numRows; row++) _query.Upload(pool.Piece(CacheWriter.Key(0, PrefixStream, row, 2), rowSize), (long)row * rowSize);
            if (setup.Modes.Any(mode => mode != SharingMode.Copied && memory.Holds(mode)))
            {
                _shared = backend.CreateKvCache(CacheShape(memory.SharedLayers), (int)memory.SharedPages);
                var writer = new CacheWriter(_shared, pool, cancellationToken);
                Fill(writer, 0, PrefixStream, cell.Prefix, cell.Prefix);
                for (int i = 0; i < cell.Batch; i++) Fill(writer, memory.PrefixPages + i * memory.SuffixPages, i, 0, cell.Suffix);
                writer.Flush();
            }
            if (memory.Holds(SharingMode.Copied))
            {
                _copies = backend.CreateKvCache(CacheShape(memory.CopiedLayers), (int)memory.CopiedPages);
                var writer = new CacheWriter(_copies, pool, cancellationToken);
                for (int i = 0; i < cell.Batch; i++) Fill(writer, i * memory.CopyPages, i, cell.Prefix, cell.Prefix + cell.Suffix);
                writer.Flush();
            }
            foreach (SharingMode mode in setup.Modes.Where(mode => memory.Holds(mode))) _plans[(int)mode] = Plan(mode);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>One step of attention, on the mode's next layer.</summary>
    public void Run(SharingMode mode)
    {
        KvCache cache = mode == SharingMode.Copied ? _copies! : _shared!;
        int layer = _nextLayer[(int)mode];
        _nextLayer[(int)mode] = (layer + 1) % cache.Shape.NumLayers;
        _backend.Attention(_plans[(int)mode]!, _setup.Shape, AttentionOptions.Default, _query, cache, layer, _output, logSumExp: null);
    }

    /// <summary>Runs a mode on the first layer, whose content is the same in all modes, and returns its output.</summary>
    public float[] RunFirstLayer(SharingMode mode)
    {
        _nextLayer[(int)mode] = 0;
        return RunNextLayer(mode);
    }

    /// <summary>Like <see cref="Run"/>, and returns the output.</summary>
    public float[] RunNextLayer(SharingMode mode)
    {
        Run(mode);
        var output = new float[_output.Length];
        _output.Download(output);
        return output;
    }

    public void Dispose()
    {
        _query.Dispose();
        _output.Dispose();
        _shared?.Dispose();
        _copies?.Dispose();
    }

    private KvCacheShape CacheShape(int numLayers) => new(numLayers, _setup.Shape.NumKvHeads, _setup.Shape.HeadDim, _setup.KvType);

    /// <summary>Writes tokens from the first slot of a page on: first those of the prefix, then those of a stream.</summary>
    private static void Fill(CacheWriter writer, int firstPage, int stream, int prefixTokens, int numTokens)
    {
        for (int i = 0; i < numTokens; i++)
        {
            bool isPrefix = i < prefixTokens;
            writer.Add(firstPage * KvCache.PageSize + i, isPrefix ? PrefixStream : stream, isPrefix ? i : i - prefixTokens);
        }
    }

    private AttentionPlan Plan(SharingMode mode)
    {
        bool isCopied = mode == SharingMode.Copied, hasNode = !isCopied && _cell.Prefix > 0;
        PlanNode[] nodes = hasNode ? [new PlanNode(-1, 0, _cell.Prefix, Pages(0, _memory.PrefixPages))] : [];
        var sequences = new PlanSequence[_cell.Batch];
        for (int i = 0; i < sequences.Length; i++)
        {
            sequences[i] = isCopied
                ? new PlanSequence(-1, _setup.QueryLength, 0, _cell.Prefix + _cell.Suffix, Pages(i * _memory.CopyPages, _memory.CopyPages))
                : new PlanSequence(
                    hasNode ? 0 : -1, _setup.QueryLength, _cell.Prefix, _cell.Suffix,
                    Pages(_memory.PrefixPages + i * _memory.SuffixPages, _memory.SuffixPages));
        }
        return new TreePlanner().Plan(nodes, sequences, mode);
    }

    private static int[] Pages(int first, int count) => [.. Enumerable.Range(first, count)];
}
