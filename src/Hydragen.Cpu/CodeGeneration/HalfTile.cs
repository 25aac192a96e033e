using System.Runtime.Intrinsics;
using Iced.Intel;
using static Hydragen.Cpu.RegisterTileEmitter;
using static Iced.Intel.AssemblerRegisters;

namespace Hydragen.Cpu;

/// <summary>
/// The generated register tile of FP32 rows over FP16 strips <c>[depth][16]</c>: <c>vcvtph2ps</c>, for which .NET has no intrinsic, widens
/// them on the way. The result is that of <see cref="Tile{S, V, T}"/> bit for bit.
/// </summary>
internal static unsafe class HalfTile
{
    private const int RowBytes = TileShape.StripWidth * sizeof(ushort);

    private static readonly Arithmetic Widening = new(
        2, 2 * sizeof(float), MultiplyGroup, (code, sums, addends) => code.vaddps(sums, sums, addends), OddElement: MultiplyFirst);

    private static readonly AssemblerRegisterZMM[] Columns = [zmm24, zmm25, zmm26, zmm27];

    private static readonly Lazy<GeneratedTile?> Process = new(TryCreate);

    /// <summary>The tile of this process, made and tested on first use; null where it cannot run.</summary>
    public static GeneratedTile? Shared => Process.Value;

    private static GeneratedTile? TryCreate()
    {
        if (!ExecutableMemory.IsSupported || !ProcessorFeatures.HasAvx512) return null;
        GeneratedTile tile;
        try
        {
            tile = new GeneratedTile((code, rows, strips) => RegisterTileEmitter.Emit(code, rows, strips, Widening));
        }
        catch (PlatformNotSupportedException)
        {
            return null;
        }
        foreach ((int rows, int strips) in GeneratedTile.Sizes)
        {
            if (IsRight(tile, rows, strips)) continue;
            tile.Dispose();
            return null;
        }
        return tile;
    }

    private static void MultiplyGroup(Assembler code, int numRows, int numStrips)
    {
        MultiplyFirst(code, numRows, numStrips);
        Widen(code, numStrips, RowBytes);
        MultiplyRows(code, numRows, numStrips, sizeof(float), (sums, factor, column) => code.vfmadd231ps(sums, factor, column));
    }

    private static void MultiplyFirst(Assembler code, int numRows, int numStrips)
    {
        Widen(code, numStrips, 0);
        MultiplyRows(code, numRows, numStrips, 0, (sums, factor, column) => code.vfmadd231ps(sums, factor, column));
    }

    private static void Widen(Assembler code, int numStrips, int offset)
    {
        for (int strip = 0; strip < numStrips; strip++) code.vcvtph2ps(Columns[strip], __ymmword_ptr[Strip(strip) + offset]);
    }

    private static bool IsRight(RegisterTile tile, int numRows, int numStrips)
    {
        // Odd, so that the element without a neighbour is there too.
        const int depth = 13, maxStrips = 4, stripSize = depth * TileShape.StripWidth;
        var random = new Random(1);
        float* a = stackalloc float[TileShape.MaxRows * depth];
        Half* b = stackalloc Half[maxStrips * stripSize];
        float* sums = stackalloc float[TileShape.MaxRows * maxStrips * TileShape.StripWidth], expected = stackalloc float[TileShape.MaxRows * maxStrips * TileShape.StripWidth];
        int width = numStrips * TileShape.StripWidth;
        for (int i = 0; i < numRows * depth; i++) a[i] = random.NextSingle() - 0.5f;
        for (int i = 0; i < numStrips * stripSize; i++) b[i] = (Half)(random.NextSingle() - 0.5f);
        // A subnormal number.
        b[0] = Half.Epsilon;
        foreach (bool adds in (bool[])[false, true])
        {
            new Span<float>(sums, numRows * width).Fill(1);
            new Span<float>(expected, numRows * width).Fill(1);
            tile.MultiplyStrips(
                numRows, numStrips, (byte*)a, depth * sizeof(float), (byte*)b, stripSize * sizeof(ushort), sums, width * sizeof(float), depth, adds, ahead: 0, streams: 1);
            Tile<Simd512, Vector512<float>, Float16Storage>.Multiply(
                numRows, numStrips, a, depth, (byte*)b, TileShape.StripWidth, stripSize, expected, width, depth, adds ? TileMode.Add : TileMode.Replace, 0);
            if (!new ReadOnlySpan<uint>(sums, numRows * width).SequenceEqual(new ReadOnlySpan<uint>(expected, numRows * width))) return false;
        }
        return true;
    }
}
