using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>Pages and layers that one cell needs, and whether they fit.</summary>
/// <remarks>
/// Like the layers of a model, each layer of a cache holds the same tokens with other keys and values. Measured calls take the
/// layers in turn; there are so many that all of them together are twice as large as the last cache, so that every call finds
/// its data in memory, as in a forward pass.
/// </remarks>
internal readonly record struct AttentionMemory
{
    private const int MaxLayers = 1024;

    /// <summary>Plans the memory of a cell.</summary>
    /// <param name="setup">The run.</param>
    /// <param name="cell">The cell.</param>
    /// <param name="bytesPerPage">Bytes of a page of one layer.</param>
    /// <param name="lastLevelCacheBytes">Size of the last cache; 0 when one layer is enough.</param>
    /// <param name="prefixBytesPerPage">Bytes of a page of one layer of the prefix; null like all others.</param>
    public AttentionMemory(AttentionSetup setup, AttentionCell cell, long bytesPerPage, long lastLevelCacheBytes, long? prefixBytesPerPage = null)
    {
        NodePages = cell.Levels.Sum(level => (long)level.NumNodes * PagesFor(level.Length));
        SuffixPages = PagesFor(cell.Suffix);
        CopyPages = PagesFor(cell.Prefix + cell.Suffix);
        bool wantsShared = setup.Modes.Any(mode => mode != AttentionMode.Copied), wantsCopies = setup.Modes.Contains(AttentionMode.Copied);
        SharedPages = wantsShared ? NodePages + (long)cell.Batch * SuffixPages : 0;
        CopiedPages = wantsCopies ? (long)cell.Batch * CopyPages : 0;
        long numQueryElements = cell.NumRows * cell.Shape.NumHeads * cell.Shape.HeadDim;
        // A query, an output, and two outputs where modes are compared, all in at most FP32.
        int bytesPerQueryElement = (setup.ComparesOutputs ? 4 : 2) * sizeof(float);
        long sharedPageBytes = SharedPages == 0 ? 0 : NodePages * (prefixBytesPerPage ?? bytesPerPage) + (SharedPages - NodePages) * bytesPerPage;
        SharedBytes = sharedPageBytes + numQueryElements * bytesPerQueryElement;
        CopiedBytes = SharedBytes + CopiedPages * bytesPerPage;
        HasShared = wantsShared && Fits(SharedPages, SharedBytes);
        HasCopies = wantsCopies && Fits(CopiedPages, CopiedBytes);
        long rest = setup.MaxBytes - (HasCopies ? CopiedBytes : SharedBytes);
        long cold = setup.IsWarm ? 0 : 2 * lastLevelCacheBytes;
        SharedLayers = Layers(sharedPageBytes, ref rest);
        CopiedLayers = Layers(CopiedPages * bytesPerPage, ref rest);

        bool Fits(long pages, long bytes) =>
            bytes <= setup.MaxBytes && pages <= int.MaxValue / KvCache.PageSize && numQueryElements <= Array.MaxLength;

        int Layers(long bytes, ref long rest)
        {
            if (bytes == 0) return 1;
            long more = Math.Clamp(Math.Min((cold + bytes - 1) / bytes - 1, Math.Max(0, rest) / bytes), 0, MaxLayers - 1);
            rest -= more * bytes;
            return (int)more + 1;
        }
    }

    /// <summary>Pages of the nodes of the tree, one after another.</summary>
    public long NodePages { get; }

    /// <summary>Pages of a sequence's own tokens.</summary>
    public int SuffixPages { get; }

    /// <summary>Pages of a sequence that owns everything.</summary>
    public int CopyPages { get; }

    public long SharedPages { get; }

    public long CopiedPages { get; }

    /// <summary>Bytes that the modes with shared prefixes need.</summary>
    public long SharedBytes { get; }

    /// <summary>Bytes that all modes need together.</summary>
    public long CopiedBytes { get; }

    public int SharedLayers { get; }

    public int CopiedLayers { get; }

    private bool HasShared { get; }

    private bool HasCopies { get; }

    public bool Holds(AttentionMode mode) => mode == AttentionMode.Copied ? HasCopies : HasShared;

    public long BytesFor(AttentionMode mode) => mode == AttentionMode.Copied ? CopiedBytes : SharedBytes;

    public int LayersFor(AttentionMode mode) => mode == AttentionMode.Copied ? CopiedLayers : SharedLayers;

    /// <summary>Pages of so many tokens.</summary>
    public static int PagesFor(int numTokens) => (numTokens + KvCache.PageSize - 1) / KvCache.PageSize;
}
