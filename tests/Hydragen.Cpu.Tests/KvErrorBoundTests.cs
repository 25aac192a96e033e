using Hydragen.Core;
using Hydragen.Testing;

namespace Hydragen.Cpu.Tests;

/// <summary>
/// The bounds of docs/exactness.md on what rounding keys and values does to attention: with logits that move by at most ε and values by at most δ,
/// the output moves by at most δ + (e^2ε − 1) · Σ p·|v − o|, and the log-sum-exp by ε.
/// </summary>
public sealed class KvErrorBoundTests
{
    private const int NumKeys = 300;

    public static TheoryData<string, ElementType, float, float> Cases
    {
        get
        {
            var cases = new TheoryData<string, ElementType, float, float>();
            foreach (string name in InstructionSets.Names)
            {
                foreach (ElementType type in (ElementType[])[ElementType.Int8, ElementType.Float8E4M3, ElementType.Float8E5M2])
                {
                    cases.Add(name, type, 0, 1);
                    cases.Add(name, type, 4, 1);
                    cases.Add(name, type, 0, 16);
                }
            }
            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Rounded_keys_and_values_move_outputs_within_the_derived_bound(string instructionSet, ElementType type, float valueMean, float outlierScale)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        foreach (int headDim in (int[])[24, 128])
        {
            foreach (ElementType queryType in (ElementType[])[ElementType.Float32, ElementType.BFloat16]) Verify(backend, type, queryType, headDim, valueMean, outlierScale);
        }
    }

    private static void Verify(CpuBackend backend, ElementType type, ElementType queryType, int headDim, float valueMean, float outlierScale)
    {
        var random = new Random(headDim);
        var shape = new AttentionShape(1, 1, headDim);
        float[] query = RandomTensors.Round(RandomTensors.Normal(random, headDim), queryType);
        float[] key = RandomTensors.Normal(random, NumKeys * headDim), value = RandomTensors.Normal(random, NumKeys * headDim, valueMean);
        for (int i = 0; i < key.Length; i += headDim)
        {
            key[i] *= outlierScale;
            value[i] *= outlierScale;
        }
        SharedPrefixNode[] nodes = [new(-1, NumKeys, key, value)];
        SharedPrefixSequence[] sequences = [new(0, 1, 0, query, default, default)];
        SharedPrefixResult exact = SharedPrefixAttention.ComputeReference(shape, AttentionOptions.Default, nodes, sequences)[0];
        SharedPrefixResult rounded = SharedPrefixAttention.Compute(
            backend, shape, AttentionOptions.Default, nodes, sequences, SharingMode.Hydragen, type, queryType)[0];

        double scale = 1 / Math.Sqrt(headDim), logitError = 0, valueError = 0;
        var weights = new double[NumKeys];
        for (int token = 0; token < NumKeys; token++)
        {
            ReadOnlySpan<float> k = key.AsSpan(token * headDim, headDim), v = value.AsSpan(token * headDim, headDim);
            double logit = 0, error = 0;
            for (int i = 0; i < headDim; i++)
            {
                logit += (double)query[i] * k[i];
                error += Math.Abs(query[i]) * Tolerance.KvRounding(k, i, type);
                valueError = Math.Max(valueError, Tolerance.KvRounding(v, i, type));
            }
            weights[token] = Math.Exp(logit * scale - exact.LogSumExp[0]);
            logitError = Math.Max(logitError, error * scale);
        }
        double largestError = 0;
        for (int i = 0; i < headDim; i++)
        {
            double spread = 0, magnitude = 0;
            for (int token = 0; token < NumKeys; token++)
            {
                spread += weights[token] * Math.Abs(value[token * headDim + i] - exact.Output[i]);
                magnitude += weights[token] * Math.Abs(value[token * headDim + i]);
            }
            double bound = valueError + (Math.Exp(2 * logitError) - 1) * spread;
            double computation = outlierScale * Tolerance.Attention + Tolerance.RoundedWeights(magnitude + bound, backend.WeightTypeFor(queryType, type));
            double error = Math.Abs(exact.Output[i] - rounded.Output[i]);
            Assert.True(error <= bound + computation, $"output {i} errs by {error:g3}, allowed are {bound:g3} and {computation:g3}");
            largestError = Math.Max(largestError, error);
        }
        Assert.True(Math.Abs(exact.LogSumExp[0] - rounded.LogSumExp[0]) <= logitError + Tolerance.LogSumExp * Math.Max(1, Math.Abs(exact.LogSumExp[0])));
        // Less would mean that nothing was rounded.
        Assert.True(largestError > 1e-3);
    }
}
