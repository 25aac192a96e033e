using Hydragen.Core;
using Hydragen.Testing;

namespace Hydragen.Cpu.Tests;

public sealed class RotaryAppendTests
{
    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Queries_and_keys_are_normalised_rotated_and_stored(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        int seed = 0;
        foreach (int headDim in (int[])[8, 16, 24, 40, 64, 80, 128, 256])
        {
            foreach (int rotaryDim in (int[])[0, 2, headDim / 2, headDim])
            {
                foreach (bool hasNorm in (bool[])[false, true])
                {
                    seed++;
                    Verify(backend, headDim, rotaryDim, hasNorm, (ElementType)(seed % 3), (ElementType)(seed / 3 % 3), seed);
                }
            }
        }
    }

    internal static void Verify(CpuBackend backend, int headDim, int rotaryDim, bool hasNorm, ElementType type, ElementType cacheType, int seed)
    {
        var random = new Random(seed);
        var shape = new AttentionShape(6, 3, headDim);
        int[] positions = [0, 5, 255, 256, 1000, 70000], slots = [130, 2, 63, 64, 65, 17];
        int rowSize = 12 * headDim;
        float[] joint = RandomTensors.Round(RandomTensors.Normal(random, positions.Length * rowSize), type);
        float[] queryWeight = RandomTensors.Normal(random, headDim, 1, 0.1f), keyWeight = RandomTensors.Normal(random, headDim, 1, 0.1f);
        using DeviceBuffer input = backend.Allocate(type, joint.Length), query = backend.Allocate(type, positions.Length * 6 * headDim);
        using DeviceBuffer queryWeights = backend.Allocate(ElementType.Float32, headDim), keyWeights = backend.Allocate(ElementType.Float32, headDim);
        input.Upload(joint);
        queryWeights.Upload(queryWeight);
        keyWeights.Upload(keyWeight);
        using var cache = (CpuKvCache)backend.CreateKvCache(new KvCacheShape(2, 3, headDim, cacheType), 3);
        var rotary = rotaryDim == 0 ? null : new PlainRotary(rotaryDim);
        backend.RotaryAppend(input, shape, hasNorm ? new QueryKeyNorm(queryWeights, keyWeights, 1e-6f) : null, rotary, positions, slots, cache, 1, query);

        var queries = new float[query.Length];
        query.Download(queries);
        for (int row = 0; row < positions.Length; row++)
        {
            for (int head = 0; head < 12; head++)
            {
                float[] raw = joint[(row * rowSize + head * headDim)..(row * rowSize + (head + 1) * headDim)];
                double[] expected = head < 9 ? Transform(raw, hasNorm ? (head < 6 ? queryWeight : keyWeight) : null, rotary, positions[row]) : Array.ConvertAll(raw, x => (double)x);
                for (int i = 0; i < headDim; i++)
                {
                    float actual = head < 6 ? queries[(row * 6 + head) * headDim + i]
                        : CacheReader.Read(cache, 1, (head - 6) % 3, slots[row], i, isValue: head >= 9);
                    ElementType stored = head < 6 ? type : cacheType;
                    // A rotated element mixes two of size up to 4.
                    Assert.Equal(expected[i], actual, 4 * Tolerance.Elementwise + Tolerance.Rounding(expected[i], stored));
                }
            }
        }
    }

    private static double[] Transform(float[] head, float[]? weight, PlainRotary? rotary, int position)
    {
        double[] result = Array.ConvertAll(head, x => (double)x);
        if (weight is not null)
        {
            double factor = 1 / Math.Sqrt(result.Average(x => x * x) + 1e-6f);
            for (int i = 0; i < result.Length; i++) result[i] *= factor * weight[i];
        }
        if (rotary is null) return result;
        int half = rotary.RotaryDim / 2;
        float[] cos = new float[half], sin = new float[half];
        rotary.GetFactors(position, cos, sin);
        for (int i = 0; i < half; i++)
        {
            (double first, double second) = (result[i], result[i + half]);
            result[i] = first * cos[i] - second * sin[i];
            result[i + half] = second * cos[i] + first * sin[i];
        }
        return result;
    }
}

/// <summary>Rotary embedding with base 10000.</summary>
internal sealed class PlainRotary(int rotaryDim) : RotaryEmbedding
{
    public override int RotaryDim => rotaryDim;

    public override void GetFactors(int position, Span<float> cos, Span<float> sin)
    {
        for (int i = 0; i < cos.Length; i++)
        {
            double angle = position * Math.Pow(10000, -2.0 * i / rotaryDim);
            cos[i] = (float)Math.Cos(angle);
            sin[i] = (float)Math.Sin(angle);
        }
    }
}

/// <summary>Reads single elements out of the page layout.</summary>
internal static unsafe class CacheReader
{
    public static float Read(CpuKvCache cache, int layer, int kvHead, int slot, int element, bool isValue)
    {
        byte* head = (byte*)cache.Pages[slot / KvCache.PageSize] + cache.HeadOffset(layer, kvHead);
        int token = slot % KvCache.PageSize;
        // A page is two matrices in strips of 16: keys × elements, and elements × tokens.
        (int outer, int inner, int depth) = isValue ? (element, token, KvCache.PageSize) : (token, element, cache.Shape.HeadDim);
        nint index = outer / 16 * depth * 16;
        index += cache.IsPaired ? inner / 2 * 32 + outer % 16 * 2 + inner % 2 : inner * 16 + outer % 16;
        if (isValue) head += cache.ValueOffset;
        return cache.Shape.ElementType switch
        {
            ElementType.Float32 => ((float*)head)[index],
            ElementType.BFloat16 => BFloat16Bits.ToSingle(((ushort*)head)[index]),
            _ => (float)((Half*)head)[index],
        };
    }
}
