using Hydragen.Core;
using Iced.Intel;

namespace Hydragen.Cpu;

/// <summary>
/// The generated register tiles over BF16 pairs, for BF16 and for FP32 rows. Immutable; calls may run on any thread.
/// </summary>
/// <remarks>
/// With BF16 rows, every element of c sums its pairs in order of the depth whatever the tile, in FP32: products of BF16 are exact
/// there, so n terms have at most n roundings, as in a chain of multiply-adds. Subnormal inputs and sums count as zero. With FP32
/// rows the result is that of <see cref="Tile{S, V, T}"/> bit for bit.
/// </remarks>
internal sealed class PairTile : IDisposable
{
    private static readonly Lazy<(PairTile? Tile, string? WhyNot)> Process = new(() => (TryCreate(PairTileEmitter.Emit, out string? whyNot), whyNot));

    private readonly GeneratedTile _bFloat16Rows, _float32Rows;

    private PairTile(Action<Assembler, int, int, ElementType> emit)
    {
        _bFloat16Rows = new GeneratedTile((code, rows, strips) => emit(code, rows, strips, ElementType.BFloat16));
        try
        {
            _float32Rows = new GeneratedTile((code, rows, strips) => emit(code, rows, strips, ElementType.Float32));
        }
        catch (PlatformNotSupportedException)
        {
            _bFloat16Rows.Dispose();
            throw;
        }
    }

    /// <summary>The tiles of this process, made and tested on first use; null where they cannot run.</summary>
    public static PairTile? Shared => Process.Value.Tile;

    /// <summary>Why <see cref="Shared"/> is null, or null.</summary>
    public static string? WhyNotShared => Process.Value.WhyNot;

    /// <summary>The tile for a type of row: BF16 or FP32.</summary>
    public RegisterTile this[ElementType rowType] => rowType == ElementType.BFloat16 ? _bFloat16Rows : _float32Rows;

    /// <summary>Generates the tiles and tests each on a random block against FP64.</summary>
    /// <param name="emit">Emits one tile: <see cref="PairTileEmitter.Emit"/>, or what a test puts in its place.</param>
    /// <param name="whyNot">Why there are none, or null.</param>
    public static PairTile? TryCreate(Action<Assembler, int, int, ElementType> emit, out string? whyNot)
    {
        whyNot = !ExecutableMemory.IsSupported ? "generated code runs on Linux on x64 only"
            : !ProcessorFeatures.HasAvx512Bf16 ? "the processor has no AVX512_BF16" : null;
        if (whyNot is not null) return null;
        PairTile tile;
        try
        {
            tile = new PairTile(emit);
        }
        catch (PlatformNotSupportedException exception)
        {
            whyNot = exception.Message;
            return null;
        }
        foreach (ElementType type in (ElementType[])[ElementType.BFloat16, ElementType.Float32])
        {
            foreach ((int rows, int strips) in GeneratedTile.Sizes) whyNot ??= PairTileSelfTest.Run(tile[type], rows, strips, type);
        }
        if (whyNot is null) return tile;
        tile.Dispose();
        return null;
    }

    /// <summary>Frees the code; none of it may be running.</summary>
    public void Dispose()
    {
        _bFloat16Rows.Dispose();
        _float32Rows.Dispose();
    }
}
