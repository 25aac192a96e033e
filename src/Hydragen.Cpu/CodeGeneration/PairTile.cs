using Hydragen.Core;
using Iced.Intel;

namespace Hydragen.Cpu;

/// <summary>
/// The generated register tiles over BF16 pairs, one for each number of rows and strips and each type of row. Immutable; calls may
/// run on any thread.
/// </summary>
/// <remarks>
/// With BF16 rows, every element of c sums its pairs in order of the depth whatever the tile, in FP32: products of BF16 are exact
/// there, so n terms have at most n roundings, as in a chain of multiply-adds. Subnormal inputs and sums count as zero. With FP32
/// rows the result is that of <see cref="Tile{S, V, T}"/> bit for bit.
/// </remarks>
internal sealed unsafe class PairTile : IDisposable
{
    private static readonly int[] StripCounts = [1, 2, 4];

    private static readonly Lazy<(PairTile? Tile, string? WhyNot)> Process = new(() => (TryCreate(PairTileEmitter.Emit, out string? whyNot), whyNot));

    private readonly ExecutableMemory _code;
    private readonly nint[] _kernels = new nint[2 * (TileShape.MaxRows + 1) * (StripCounts[^1] + 1)];

    private PairTile(Action<Assembler, int, int, ElementType> emit)
    {
        var builder = new CodeBuilder();
        ForEachKernel((rows, strips, type) => _kernels[Index(rows, strips, type)] = builder.Add(code => emit(code, rows, strips, type)));
        _code = builder.Build();
        ForEachKernel((rows, strips, type) => _kernels[Index(rows, strips, type)] += _code.Address);
    }

    /// <summary>The tiles of this process, made and tested on first use; null where they cannot run.</summary>
    public static PairTile? Shared => Process.Value.Tile;

    /// <summary>Why <see cref="Shared"/> is null, or null.</summary>
    public static string? WhyNotShared => Process.Value.WhyNot;

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
        string? failure = null;
        ForEachKernel((rows, strips, type) => failure ??= PairTileSelfTest.Run(tile, rows, strips, type));
        if (failure is null) return tile;
        whyNot = failure;
        tile.Dispose();
        return null;
    }

    /// <summary>Computes up to 6 rows of any number of strips; the strides are in bytes, as in <see cref="PairTileArguments"/>.</summary>
    /// <param name="numRows">1 to 6.</param>
    /// <param name="numStrips">Strips of b and c.</param>
    /// <param name="rowType">Type of a: BF16 or FP32.</param>
    /// <param name="arguments">The rest; what it points to moves on.</param>
    public void Multiply(int numRows, int numStrips, ElementType rowType, ref PairTileArguments arguments)
    {
        fixed (PairTileArguments* pointer = &arguments)
        {
            while (numStrips > 0)
            {
                int count = numStrips >= 4 ? 4 : numStrips >= 2 ? 2 : 1;
                ((delegate* unmanaged<PairTileArguments*, void>)_kernels[Index(numRows, count, rowType)])(pointer);
                pointer->B += count * pointer->StripStrideBytes;
                pointer->C += count * TileShape.StripWidth;
                numStrips -= count;
            }
        }
    }

    /// <summary>Frees the code; none of it may be running.</summary>
    public void Dispose() => _code.Dispose();

    private static void ForEachKernel(Action<int, int, ElementType> action)
    {
        foreach (ElementType type in (ElementType[])[ElementType.BFloat16, ElementType.Float32])
        {
            for (int rows = 1; rows <= TileShape.MaxRows; rows++)
            {
                foreach (int strips in StripCounts) action(rows, strips, type);
            }
        }
    }

    private static int Index(int numRows, int numStrips, ElementType type) =>
        ((type == ElementType.BFloat16 ? TileShape.MaxRows + 1 : 0) + numRows) * (StripCounts[^1] + 1) + numStrips;
}
