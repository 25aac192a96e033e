using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>The factors of one rotary embedding, computed once for each block of positions that was ever asked for.</summary>
internal sealed unsafe class RotaryTable(NativeAllocator allocator, RotaryEmbedding rotary) : IDisposable
{
    private const int PositionsPerBlock = 256;

    private NativeBlock?[] _blocks = [];

    /// <summary>Pairs that are rotated.</summary>
    public int NumPairs { get; } = rotary.RotaryDim / 2;

    /// <summary>Computes what is missing; the positions were checked.</summary>
    public void Ensure(ReadOnlySpan<int> positions)
    {
        foreach (int position in positions)
        {
            int block = position / PositionsPerBlock;
            if (block >= _blocks.Length) Array.Resize(ref _blocks, Math.Max(block + 1, _blocks.Length * 2));
            _blocks[block] ??= Compute(block);
        }
    }

    /// <summary>FP32 <c>[numPairs]</c> cosines, then as many sines, of a position that was ensured.</summary>
    public float* Factors(int position) =>
        (float*)_blocks[position / PositionsPerBlock]!.Pointer + (nint)(position % PositionsPerBlock) * 2 * NumPairs;

    public void Dispose()
    {
        foreach (NativeBlock? block in _blocks) block?.Dispose();
        _blocks = [];
    }

    private NativeBlock Compute(int block)
    {
        NativeBlock memory = allocator.Allocate((nuint)(PositionsPerBlock * 2 * Math.Max(1, NumPairs) * sizeof(float)), zeroed: false);
        for (int i = 0; i < PositionsPerBlock; i++)
        {
            float* factors = (float*)memory.Pointer + (nint)i * 2 * NumPairs;
            long position = (long)block * PositionsPerBlock + i;
            if (position > int.MaxValue) break;
            rotary.GetFactors((int)position, new Span<float>(factors, NumPairs), new Span<float>(factors + NumPairs, NumPairs));
        }
        return memory;
    }
}
