using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>
/// The generated register tiles of BF16 rows over bytes of a KV cache, one for each type; the sums have the bits of
/// <see cref="PairTile"/> over the same numbers as BF16 pairs.
/// </summary>
internal static unsafe class ByteTile
{
    private static readonly Lazy<GeneratedTile?>[] Tiles = [.. ElementTypes.All.Select(type => new Lazy<GeneratedTile?>(() => type.IsByte() ? TryCreate(type) : null))];

    /// <summary>The tile of this process, made and compared with <see cref="PairTile.Shared"/> on first use; null where it cannot run.</summary>
    /// <param name="type">A type whose elements are bytes.</param>
    public static RegisterTile? For(ElementType type) => Tiles[(int)type].Value;

    private static GeneratedTile? TryCreate(ElementType type)
    {
        if (!ByteTable.IsSupported || PairTile.Shared is not { } pairs) return null;
        GeneratedTile tile;
        try
        {
            tile = new GeneratedTile(new ByteTileEmitter(type).Emit, ByteTileEmitter.MaxRows);
        }
        catch (PlatformNotSupportedException)
        {
            return null;
        }
        foreach ((int rows, int strips) in GeneratedTile.SizesUpTo(ByteTileEmitter.MaxRows))
        {
            if (IsRight(tile, pairs[ElementType.BFloat16], type, rows, strips)) continue;
            tile.Dispose();
            return null;
        }
        return tile;
    }

    private static bool IsRight(RegisterTile tile, RegisterTile pairs, ElementType type, int numRows, int numStrips)
    {
        const int depth = 24, stripSize = depth * TileShape.StripWidth, maxStrips = 4;
        var random = new Random(1);
        byte* b = stackalloc byte[maxStrips * stripSize];
        ushort* a = stackalloc ushort[ByteTileEmitter.MaxRows * depth], wide = stackalloc ushort[maxStrips * stripSize];
        float* sums = stackalloc float[ByteTileEmitter.MaxRows * maxStrips * TileShape.StripWidth], expected = stackalloc float[ByteTileEmitter.MaxRows * maxStrips * TileShape.StripWidth];
        for (int i = 0; i < numRows * depth; i++) a[i] = BFloat16Bits.FromSingle(random.NextSingle() - 0.5f);
        // Of both signs, and finite in every type.
        for (int i = 0; i < numStrips * stripSize; i++) b[i] = (byte)(random.Next(0x7C) | random.Next(2) << 7);
        ByteTable.ToPairs(b, type, numStrips * stripSize, wide, 0);
        int width = numStrips * TileShape.StripWidth;
        for (int adds = 0; adds <= 1; adds++)
        {
            new Span<float>(sums, numRows * width).Fill(1);
            new Span<float>(expected, numRows * width).Fill(1);
            TileArguments arguments = new()
            {
                A = (byte*)a,
                AStrideBytes = depth * sizeof(ushort),
                B = b,
                StripStrideBytes = stripSize,
                C = sums,
                CStrideBytes = width * sizeof(float),
                Depth = depth,
                Adds = adds,
            };
            TileArguments other = arguments with { B = (byte*)wide, StripStrideBytes = stripSize * sizeof(ushort), C = expected };
            tile.Multiply(numRows, numStrips, ref arguments);
            pairs.Multiply(numRows, numStrips, ref other);
            if (!new ReadOnlySpan<uint>(sums, numRows * width).SequenceEqual(new ReadOnlySpan<uint>(expected, numRows * width))) return false;
        }
        return true;
    }
}
