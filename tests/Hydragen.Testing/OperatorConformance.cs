using Hydragen.Core;

namespace Hydragen.Testing;

/// <summary>
/// What every backend's operators of a model must do, but for attention, against FP64 and within <see cref="Tolerance"/>. Each method fails
/// by an assertion.
/// </summary>
public static class OperatorConformance
{
    /// <summary>Head sizes, rotated parts, norms and types.</summary>
    public static IEnumerable<RotaryCase> RotaryCases
    {
        get
        {
            int seed = 0;
            foreach (int headDim in (int[])[8, 16, 24, 40, 64, 80, 128, 256])
            {
                foreach (int rotaryDim in (int[])[0, 2, headDim / 2, headDim])
                {
                    foreach (bool hasNorm in (bool[])[false, true])
                    {
                        seed++;
                        yield return new RotaryCase(headDim, rotaryDim, hasNorm, (ElementType)(seed % 3), (ElementType)(seed / 3 % 3), seed);
                    }
                }
            }
            foreach (ElementType type in ElementTypes.Dense)
            {
                seed++;
                yield return new RotaryCase(40, 24, true, (ElementType)(seed % 3), type, seed, ElementTypes.Dense.First(other => other != type));
            }
        }
    }

    /// <summary>Both norms of rows of a size.</summary>
    public static void Norms(IComputeBackend backend, int size)
    {
        ElementType type = (ElementType)(size % 3), outputType = (ElementType)(size / 3 % 3);
        var random = new Random(size);
        const int numRows = 5;
        float[] input = RandomTensors.Round(RandomTensors.Normal(random, numRows * size), type);
        float[] weight = RandomTensors.Normal(random, size, 1, 0.2f), residual = RandomTensors.Normal(random, numRows * size);
        using DeviceBuffer inputs = Upload(backend, type, input), weights = Upload(backend, ElementType.Float32, weight);
        using DeviceBuffer residuals = Upload(backend, ElementType.Float32, residual), outputs = backend.Allocate(outputType, input.Length);

        backend.RmsNorm(inputs, numRows, weights, 1e-5f, outputs);
        VerifyNorm(Array.ConvertAll(input, value => (double)value), weight, Download(outputs), outputType);

        backend.AddRmsNorm(residuals, inputs, 0.25f, numRows, weights, 1e-5f, outputs);
        float[] updated = Download(residuals);
        for (int i = 0; i < input.Length; i++)
            Assert.Equal(residual[i] + 0.25 * input[i], updated[i], 1e-7 * (Math.Abs(residual[i]) + Math.Abs(input[i])));
        VerifyNorm(Array.ConvertAll(updated, value => (double)value), weight, Download(outputs), outputType);
    }

    /// <summary>A gated activation of rows of a size.</summary>
    public static void Activation(IComputeBackend backend, int size, ActivationKind activation)
    {
        ElementType type = (ElementType)(size % 3), outputType = (ElementType)(size / 3 % 3);
        const int numRows = 3;
        float[] input = RandomTensors.Round(RandomTensors.Normal(new Random(size), numRows * 2 * size, 0, 3), type);
        using DeviceBuffer gateUp = Upload(backend, type, input), output = backend.Allocate(outputType, numRows * size);
        backend.GatedActivation(gateUp, numRows, size, activation, output);
        float[] actual = Download(output);
        for (int i = 0; i < actual.Length; i++)
        {
            double gate = input[i / size * 2 * size + i % size], up = input[i / size * 2 * size + size + i % size];
            double expected = Activate(activation, gate) * up;
            Assert.Equal(expected, actual[i], 2 * Tolerance.Elementwise * Math.Abs(expected) * (1 + Math.Abs(gate)) + Tolerance.Rounding(expected, outputType) + 1e-37);
        }
    }

    /// <summary>Activations of zeros, large numbers and NaN.</summary>
    public static void ExtremeActivations(IComputeBackend backend)
    {
        float[] gates = [0, -0f, 100, -100, 1e6f, -1e6f, 1e38f, -1e38f, float.NaN, 88.5f, -88.5f, 1e-30f, -1e-30f, 10, -10, 5e-3f];
        foreach (ActivationKind activation in Enum.GetValues<ActivationKind>())
        {
            float[] input = [.. gates, .. gates.Select(_ => 1f)];
            using DeviceBuffer gateUp = Upload(backend, ElementType.Float32, input), output = backend.Allocate(ElementType.Float32, gates.Length);
            backend.GatedActivation(gateUp, 1, gates.Length, activation, output);
            float[] actual = Download(output);
            for (int i = 0; i < gates.Length; i++)
            {
                if (float.IsNaN(gates[i])) Assert.True(float.IsNaN(actual[i]));
                else Assert.Equal(Activate(activation, gates[i]), actual[i], 1e-6 * Math.Abs(gates[i]) + 1e-38);
            }
        }
    }

    /// <summary>Logits gather rows, scale and cap.</summary>
    public static void Logits(IComputeBackend backend)
    {
        var random = new Random(2);
        foreach (ElementType type in ElementTypes.Dense)
        {
            foreach (float? cap in (float?[])[null, 7f])
            {
                var matrix = new TestMatrix(random, 131, 48, type, false);
                float[] hidden = RandomTensors.Round(RandomTensors.Normal(random, 10 * 48), type);
                int[] rows = [9, 0, 3, 3];
                using PackedMatrix packed = backend.PackMatrix(matrix);
                using DeviceBuffer input = backend.Allocate(type, hidden.Length), output = backend.Allocate(ElementType.Float32, rows.Length * 131);
                input.Upload(hidden);
                backend.Logits(input, rows, packed, 0.5f, cap, output);
                var logits = new float[rows.Length * 131];
                output.Download(logits);
                for (int i = 0; i < logits.Length; i++)
                {
                    (double expected, double tolerance) = matrix.Dot(hidden.AsSpan(rows[i / 131] * 48, 48), i % 131);
                    expected *= 0.5;
                    if (cap is not null) expected = cap.Value * Math.Tanh(expected / cap.Value);
                    Assert.Equal(expected, logits[i], tolerance);
                }
            }
        }
    }

    /// <summary>Embeddings are the stored rows times the scale.</summary>
    public static void Embeddings(IComputeBackend backend)
    {
        var random = new Random(3);
        foreach (ElementType type in ElementTypes.Dense)
        {
            var matrix = new TestMatrix(random, 77, 39, type, false);
            int[] ids = [76, 0, 15, 16, 17, 76, 33];
            using PackedMatrix packed = backend.PackMatrix(matrix);
            using DeviceBuffer output = backend.Allocate(ElementType.Float32, ids.Length * 39);
            backend.EmbeddingLookup(packed, ids, 3f, output);
            var rows = new float[ids.Length * 39];
            output.Download(rows);
            for (int i = 0; i < rows.Length; i++) Assert.Equal(matrix.Weights[ids[i / 39] * 39 + i % 39] * 3f, rows[i]);
        }
    }

    /// <summary>A linear layer against sums in FP64.</summary>
    public static void Linear(
        IComputeBackend backend, int numRows, int outputSize, int inputSize, ElementType weights, ElementType input, ElementType output, bool hasBias,
        bool isBiasStored = false, bool truncates = false)
    {
        var random = new Random(numRows * 1000 + outputSize + inputSize);
        var matrix = new TestMatrix(random, outputSize, inputSize, weights, hasBias, isBiasStored);
        float[] rows = RandomTensors.Round(RandomTensors.Normal(random, numRows * inputSize), input);
        float[] actual = Multiply(backend, matrix, rows, numRows, input, output);
        for (int i = 0; i < actual.Length; i++)
        {
            (double expected, double tolerance) = matrix.Dot(rows.AsSpan(i / outputSize * inputSize, inputSize), i % outputSize, truncates);
            Assert.Equal(expected, actual[i], tolerance + Tolerance.Rounding(expected, output));
        }
    }

    /// <summary>What a linear layer yields.</summary>
    public static float[] Multiply(IComputeBackend backend, TestMatrix matrix, float[] rows, int numRows, ElementType inputType, ElementType outputType)
    {
        using PackedMatrix packed = backend.PackMatrix(matrix);
        using DeviceBuffer input = backend.Allocate(inputType, rows.Length), output = backend.Allocate(outputType, numRows * matrix.OutputSize);
        input.Upload(rows);
        backend.Linear(input, numRows, packed, output);
        var result = new float[numRows * matrix.OutputSize];
        output.Download(result);
        return result;
    }

    /// <summary>Queries and keys are normalised, rotated and stored.</summary>
    /// <param name="backend">Computes.</param>
    /// <param name="read">Reads an element of the cache: cache, layer, key/value head, slot, element, whether of the value.</param>
    /// <param name="c">Sizes and types.</param>
    public static void RotaryAppend(IComputeBackend backend, Func<KvCache, int, int, int, int, bool, float> read, RotaryCase c)
    {
        (int headDim, int rotaryDim, bool hasNorm, ElementType type, ElementType cacheType, int seed, ElementType? prefixType) = c;
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
        using KvCache cache = backend.CreateKvCache(new KvCacheShape(2, 3, headDim, cacheType, prefixType), 1);
        cache.Reserve(cache.Shape.IsMixed ? 1 : 2, PageKind.Prefix);
        cache.Reserve(cache.Shape.IsMixed ? 2 : 3);
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
                        : read(cache, 1, (head - 6) % 3, slots[row], i, head >= 9);
                    ElementType stored = head < 6 ? type : cache.Shape.TypeOf(cache.KindOf(slots[row] / KvCache.PageSize));
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

    private static double Activate(ActivationKind activation, double x) => activation switch
    {
        ActivationKind.Silu => x / (1 + Math.Exp(-x)),
        ActivationKind.Gelu => x * NormalDistribution(x),
        _ => x / (1 + Math.Exp(-2 * Math.Sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x))),
    };

    // Φ by its convergent series near 0 and its continued fraction in the tails; both to FP64 accuracy.
    private static double NormalDistribution(double x)
    {
        double magnitude = Math.Abs(x), density = Math.Exp(-x * x / 2) / Math.Sqrt(2 * Math.PI);
        if (magnitude > 40) return x > 0 ? 1 : 0;
        if (magnitude < 5)
        {
            double term = x, sum = x;
            for (int n = 1; n < 200; n++) sum += term *= x * x / (2 * n + 1);
            return 0.5 + density * sum;
        }
        double fraction = 0;
        for (int n = 100; n >= 1; n--) fraction = n / (magnitude + fraction);
        double tail = density / (magnitude + fraction);
        return x > 0 ? 1 - tail : tail;
    }

    private static void VerifyNorm(double[] input, float[] weight, float[] actual, ElementType outputType)
    {
        int size = weight.Length;
        for (int row = 0; row < input.Length / size; row++)
        {
            double squares = 0;
            for (int i = 0; i < size; i++) squares += input[row * size + i] * input[row * size + i];
            double factor = 1 / Math.Sqrt(squares / size + 1e-5f);
            for (int i = 0; i < size; i++)
            {
                double expected = input[row * size + i] * factor * weight[i];
                Assert.Equal(expected, actual[row * size + i], Tolerance.Elementwise * Math.Abs(expected) + Tolerance.Rounding(expected, outputType));
            }
        }
    }

    internal static DeviceBuffer Upload(IComputeBackend backend, ElementType type, float[] values)
    {
        DeviceBuffer buffer = backend.Allocate(type, values.Length);
        buffer.Upload(values);
        return buffer;
    }

    private static float[] Download(DeviceBuffer buffer)
    {
        var values = new float[buffer.Length];
        buffer.Download(values);
        return values;
    }
}
