using System.Runtime.CompilerServices;

namespace Hydragen.Cpu;

/// <summary>The tile kernels over INT8 quads, for rows of signed bytes.</summary>
internal sealed unsafe class AmxQuadTile : RegisterTile, IDisposable
{
    private const int StepBytes = 64;

    private static readonly Lazy<(AmxQuadTile? Tile, string? WhyNot)> Process = new(() => (TryCreate(out string? whyNot), whyNot));

    private readonly AmxTile _tile = new((code, tiles, strips, lines) => AmxTileEmitter.Emit(code, tiles, strips, lines, quads: true));

    private AmxQuadTile()
    {
    }

    /// <summary>The kernels of this process, made and tested on first use; null where they cannot run.</summary>
    public static AmxQuadTile? Shared => Process.Value.Tile;

    /// <summary>Why <see cref="Shared"/> is null, or null.</summary>
    public static string? WhyNotShared => Process.Value.WhyNot;

    public override int MaxRows => 2 * AmxTileEmitter.TileRows;

    // Rows a power of two apart would meet in the same few lines of the first-level cache.
    public override int RowPaddingBytes => StepBytes;

    public override void Begin() => _tile.Configure();

    public override void End() => _tile.Release();

    /// <summary>Frees the code; none of it may be running.</summary>
    public void Dispose() => _tile.Dispose();

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Multiply(int numRows, int numStrips, ref TileArguments arguments)
    {
        AmxTileArguments tiles = new()
        {
            A = arguments.A,
            AStrideBytes = arguments.AStrideBytes,
            AStepBytes = StepBytes,
            ATileBytes = AmxTileEmitter.TileRows * arguments.AStrideBytes,
            B = arguments.B,
            StripStrideBytes = arguments.StripStrideBytes,
            C = arguments.C,
            CStrideBytes = arguments.CStrideBytes,
            Steps = arguments.Depth / StepBytes,
            Adds = arguments.Adds,
        };
        nint ahead = (nint)(arguments.FirstAhead - arguments.B);
        _tile.MultiplyRows(numRows, numStrips, ahead == 0 ? 0 : AmxTileEmitter.TileRows, ahead, tiles);
    }

    private static AmxQuadTile? TryCreate(out string? whyNot)
    {
        const int depth = 2 * StepBytes;
        whyNot = AmxSupport.WhyNot ?? (ProcessorFeatures.HasAmxInt8 ? null : "the processor has no AMX with INT8");
        if (whyNot is not null) return null;
        AmxQuadTile tile;
        try
        {
            tile = new AmxQuadTile();
        }
        catch (PlatformNotSupportedException exception)
        {
            whyNot = exception.Message;
            return null;
        }
        tile.Begin();
        foreach (int numRows in (int[])[1, AmxTileEmitter.TileRows, tile.MaxRows])
        {
            for (int numStrips = 1; numStrips <= LinearJob.StripsPerItem; numStrips++)
                whyNot ??= QuadTileSelfTest.Run(tile, isUnsigned: false, numRows, numStrips, depth);
        }
        tile.End();
        if (whyNot is null) return tile;
        tile.Dispose();
        return null;
    }
}
