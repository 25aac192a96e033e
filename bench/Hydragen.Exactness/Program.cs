// Measures the tables of docs/exactness.md: the errors of attention with and without cutting, against the FP64 reference; with the
// argument "weights" those of logits of rounded weights, and with "kv" those of attention and of logits of rounded keys and values.
using System.Globalization;
using Hydragen;
using Hydragen.Core;
using Hydragen.Cpu;
using Hydragen.Exactness;

CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
if (args is ["weights"])
{
    await ModelErrors.WriteAsync([.. from weightType in (WeightType[])[WeightType.Model, WeightType.Int8]
                                     from computeType in (ElementType[])[ElementType.Float32, ElementType.BFloat16]
                                     where weightType == WeightType.Int8 || computeType != ElementType.Float32
                                     select new LanguageModelOptions { ComputeType = computeType, WeightType = weightType }]);
    return;
}
if (args is ["kv"])
{
    KvErrors.Write();
    Console.WriteLine();
    await ModelErrors.WriteAsync([.. from computeType in (ElementType[])[ElementType.Float32, ElementType.BFloat16]
                                     from kvType in ElementTypes.All
                                     where kvType != ElementType.Float32 && (computeType == ElementType.Float32 || kvType != ElementType.Float16)
                                     select new LanguageModelOptions { ComputeType = computeType, KvType = kvType }]);
    return;
}
var shape = new AttentionShape(numHeads: 8, numKvHeads: 2, headDim: 128);
int[] levels = [700, 1, 1000, 347];
const int NumSequences = 32, SuffixLength = 64;
(ElementType Query, ElementType Kv)[] types =
[
    (ElementType.Float32, ElementType.Float32), (ElementType.Float32, ElementType.BFloat16), (ElementType.Float32, ElementType.Float16),
    (ElementType.BFloat16, ElementType.BFloat16),
];

using var backend = new CpuBackend();
Console.WriteLine($"{backend.Description}; heads 8/2 of 128, four levels of {string.Join(", ", levels)} tokens, {NumSequences} sequences with {SuffixLength} tokens of their own");
Console.WriteLine("| V mean | queries | KV | unsplit: max | mean | LSE | split: max | mean | LSE | max ratio | mean ratio |");
Console.WriteLine("|---|---|---|---|---|---|---|---|---|---|---|");
foreach (float valueMean in (float[])[0, 4])
{
    foreach ((ElementType queryType, ElementType type) in types)
    {
        (SharedPrefixNode[] nodes, SharedPrefixSequence[] sequences) = MakeCase(new Random(1), valueMean, queryType, type);
        SharedPrefixResult[] exact = SharedPrefixAttention.ComputeReference(shape, AttentionOptions.Default, nodes, sequences);
        Errors Measure(SharingMode mode) => Errors.Of(
            SharedPrefixAttention.Compute(backend, shape, AttentionOptions.Default, nodes, sequences, mode, type, queryType), exact);
        Errors unsplit = Measure(SharingMode.Copied), split = Measure(SharingMode.Hydragen);
        Console.WriteLine(
            $"| {valueMean} | {queryType.ShortName()} | {type.ShortName()} | {unsplit.Max:0.0e+0} | {unsplit.Mean:0.0e+0} | {unsplit.LogSumExp:0.0e+0} | {split.Max:0.0e+0} | {split.Mean:0.0e+0} | {split.LogSumExp:0.0e+0} | {split.Max / unsplit.Max:0.00} | {split.Mean / unsplit.Mean:0.00} |");
    }
}

(SharedPrefixNode[] Nodes, SharedPrefixSequence[] Sequences) MakeCase(Random random, float valueMean, ElementType queryType, ElementType type)
{
    int kvWidth = shape.NumKvHeads * shape.HeadDim;
    float[] Key(int length) => Normal(random, length * kvWidth, 0, type);
    float[] Value(int length) => Normal(random, length * kvWidth, valueMean, type);
    SharedPrefixNode[] nodes = [.. levels.Select((length, i) => new SharedPrefixNode(i - 1, length, Key(length), Value(length)))];
    SharedPrefixSequence[] sequences = [.. Enumerable.Range(0, NumSequences).Select(_ => new SharedPrefixSequence(
        levels.Length - 1, 1, SuffixLength, Normal(random, shape.NumHeads * shape.HeadDim, 0, queryType), Key(SuffixLength), Value(SuffixLength)))];
    return (nodes, sequences);
}

// Keys and values are rounded to the stored type first, so that the errors are those of the computation alone.
static float[] Normal(Random random, int length, float mean, ElementType type)
{
    var values = new float[length];
    for (int i = 0; i < length; i++)
    {
        float value = mean + (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
        values[i] = type switch
        {
            ElementType.BFloat16 => BFloat16Bits.ToSingle(BFloat16Bits.FromSingle(value)),
            ElementType.Float16 => (float)(Half)value,
            _ => value,
        };
    }
    return values;
}

/// <summary>Largest and mean absolute error of outputs, largest of log-sum-exps.</summary>
internal readonly record struct Errors(double Max, double Mean, double LogSumExp)
{
    public static Errors Of(SharedPrefixResult[] results, SharedPrefixResult[] exact)
    {
        double[] outputs = [.. results.Zip(exact).SelectMany(pair => pair.First.Output.Zip(pair.Second.Output, (a, b) => Math.Abs((double)a - b)))];
        double logSumExp = results.Zip(exact).Max(pair => pair.First.LogSumExp.Zip(pair.Second.LogSumExp, (a, b) => Math.Abs((double)a - b)).Max());
        return new Errors(outputs.Max(), outputs.Average(), logSumExp);
    }
}
