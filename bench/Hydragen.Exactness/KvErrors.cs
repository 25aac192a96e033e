using Hydragen.Core;
using Hydragen.Cpu;

namespace Hydragen.Exactness;

/// <summary>What rounding keys and values does to attention: FP32 queries on the CPU against FP64 with keys and values as they were.</summary>
internal static class KvErrors
{
    private const int NumHeads = 4, NumKvHeads = 1, NumSequences = 16;

    // In the last distribution one channel of keys and values of so many is so much larger than the others.
    private const int ChannelsPerOutlier = 32;
    private const float OutlierScale = 16;

    private static readonly (string Name, float ValueMean, bool HasOutliers)[] Distributions =
        [("zero mean", 0, false), ("values of mean 4", 4, false), ("outlier channels", 0, true)];

    /// <summary>Prints the table.</summary>
    public static void Write()
    {
        using var backend = new CpuBackend();
        Console.WriteLine(
            $"{backend.Description}; unit-normal queries, keys and values, {NumHeads} query heads and one key/value head, {NumSequences} queries; relative: root mean square of the errors over that of the outputs");
        string columns = string.Concat(ElementTypes.All.Select(type => $" {type.ShortName()} relative | max | LSE |"));
        Console.WriteLine($"| distribution | head size | keys |{columns}");
        Console.WriteLine($"|---|---|---|{string.Concat(Enumerable.Repeat("---|", 3 * ElementTypes.All.Count))}");
        foreach ((string name, float valueMean, bool hasOutliers) in Distributions)
        {
            foreach (int headDim in (int[])[64, 128, 256])
            {
                foreach (int length in (int[])[128, 1024, 8192]) WriteRow(backend, name, valueMean, hasOutliers, headDim, length);
            }
        }
    }

    private static void WriteRow(CpuBackend backend, string name, float valueMean, bool hasOutliers, int headDim, int length)
    {
        var random = new Random(1);
        var shape = new AttentionShape(NumHeads, NumKvHeads, headDim);
        float[] Draw(float mean)
        {
            float[] values = Normal(random, length * headDim, mean);
            for (int i = 0; hasOutliers && i < values.Length; i += ChannelsPerOutlier) values[i] *= OutlierScale;
            return values;
        }
        SharedPrefixNode[] nodes = [new(-1, length, Draw(0), Draw(valueMean))];
        float[] Query()
        {
            float[] query = Normal(random, NumHeads * headDim, 0);
            // Models scale queries such that outliers of keys do not decide alone.
            for (int i = 0; hasOutliers && i < query.Length; i += ChannelsPerOutlier) query[i] /= OutlierScale;
            return query;
        }
        SharedPrefixSequence[] sequences = [.. Enumerable.Range(0, NumSequences).Select(_ => new SharedPrefixSequence(0, 1, 0, Query(), default, default))];
        SharedPrefixResult[] exact = SharedPrefixAttention.ComputeReference(shape, AttentionOptions.Default, nodes, sequences);
        string cells = string.Concat(ElementTypes.All.Select(type =>
        {
            SharedPrefixResult[] results = SharedPrefixAttention.Compute(backend, shape, AttentionOptions.Default, nodes, sequences, SharingMode.Hydragen, type);
            double squares = exact.Sum(result => result.Output.Sum(x => (double)x * x));
            double[] errors = [.. results.Zip(exact).SelectMany(pair => pair.First.Output.Zip(pair.Second.Output, (a, b) => Math.Abs((double)a - b)))];
            double logSumExp = results.Zip(exact).Max(pair => pair.First.LogSumExp.Zip(pair.Second.LogSumExp, (a, b) => Math.Abs((double)a - b)).Max());
            return $" {Math.Sqrt(errors.Sum(x => x * x) / squares):0.0e+0} | {errors.Max():0.0e+0} | {logSumExp:0.0e+0} |";
        }));
        Console.WriteLine($"| {name} | {headDim} | {length} |{cells}");
    }

    private static float[] Normal(Random random, int length, float mean)
    {
        var values = new float[length];
        for (int i = 0; i < length; i++)
            values[i] = mean + (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
        return values;
    }
}
