using Hydragen.Core;
using Hydragen.Cpu;

namespace Hydragen.Kernels;

/// <summary>Random operands.</summary>
internal static class RandomData
{
    public static DeviceBuffer Upload(CpuBackend backend, ElementType type, int length)
    {
        DeviceBuffer buffer = backend.Allocate(type, length);
        buffer.Upload(Numbers(length));
        return buffer;
    }

    /// <summary>Numbers between −0.5 and 0.5.</summary>
    public static float[] Numbers(int length)
    {
        var random = new Random(1);
        var numbers = new float[length];
        for (int i = 0; i < length; i++) numbers[i] = random.NextSingle() - 0.5f;
        return numbers;
    }

    /// <summary>Fills consecutive pages of all layers of a cache with the same tokens.</summary>
    public static void Fill(KvCache cache, int firstPage, float[] keys, float[] values)
    {
        int numTokens = keys.Length / (cache.Shape.NumKvHeads * cache.Shape.HeadDim);
        int[] slots = [.. Enumerable.Range(firstPage * KvCache.PageSize, numTokens)];
        for (int layer = 0; layer < cache.Shape.NumLayers; layer++) cache.Write(layer, slots, keys, values);
    }
}
