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

    // A query, an output, and two outputs that are compared, all in at most FP32.
    private const int BytesPerQueryElement = 4 * sizeof(float);

    /// <summary>Plans the memory of a cell.</summary>
    /// <param name="setup">The run.</param>
    /// <param name="cell">The cell.</param>
    /// <param name="bytesPerPage">Bytes of a page of one layer.</param>
    /// <param name="lastLevelCacheBytes">Size of the last cache.</param>
    public AttentionMemory(AttentionSetup setup, AttentionCell cell, long bytesPerPage, long lastLevelCacheBytes)
    {
        PrefixPages = PagesFor(cell.Prefix);
        SuffixPages = PagesFor(cell.Suffix);
        CopyPages = PagesFor(cell.Prefix + cell.Suffix);
        bool wantsShared = setup.Modes.Any(mode => mode != SharingMode.Copied), wantsCopies = setup.Modes.Contains(SharingMode.Copied);
        SharedPages = wantsShared ? PrefixPages + (long)cell.Batch * SuffixPages : 0;
        CopiedPages = wantsCopies ? (long)cell.Batch * CopyPages : 0;
        long numQueryElements = (long)cell.Batch * setup.QueryLength * setup.Shape.NumHeads * setup.Shape.HeadDim;
        SharedBytes = SharedPages * bytesPerPage + numQueryElements * BytesPerQueryElement;
        CopiedBytes = SharedBytes + CopiedPages * bytesPerPage;
        HasShared = wantsShared && Fits(SharedPages, SharedBytes);
        HasCopies = wantsCopies && Fits(CopiedPages, CopiedBytes);
        long rest = setup.MaxBytes - (HasCopies ? CopiedBytes : SharedBytes);
        long cold = setup.IsWarm ? 0 : 2 * lastLevelCacheBytes;
        SharedLayers = Layers(SharedPages * bytesPerPage, ref rest);
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

    public int PrefixPages { get; }

    public int SuffixPages { get; }

    /// <summary>Pages of a sequence that owns everything.</summary>
    public int CopyPages { get; }

    public long SharedPages { get; }

    public long CopiedPages { get; }

    /// <summary>Bytes that the modes with one prefix need.</summary>
    public long SharedBytes { get; }

    /// <summary>Bytes that all modes need together.</summary>
    public long CopiedBytes { get; }

    public int SharedLayers { get; }

    public int CopiedLayers { get; }

    private bool HasShared { get; }

    private bool HasCopies { get; }

    public bool Holds(SharingMode mode) => mode == SharingMode.Copied ? HasCopies : HasShared;

    public long BytesFor(SharingMode mode) => mode == SharingMode.Copied ? CopiedBytes : SharedBytes;

    public int LayersFor(SharingMode mode) => mode == SharingMode.Copied ? CopiedLayers : SharedLayers;

    private static int PagesFor(int numTokens) => (numTokens + KvCache.PageSize - 1) / KvCache.PageSize;
}
