// Measures every instruction set of this machine on matrix products and prefix attention, the tables of docs/kernels-cpu.md; with the
// argument "pool", the threads. Arguments: the number of threads, then a part of the titles of the rows to measure; without them all
// threads, all rows.
using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Hydragen.Core;
using Hydragen.Cpu;
using Hydragen.Kernels;

CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
if (args is ["pool"])
{
    PoolBenchmark.Run();
    return;
}

string wanted = args.Length > 1 ? args[1] : "";
int numThreads = args.Length > 0 ? int.Parse(args[0]) : Environment.ProcessorCount;
ElementType[] types = [ElementType.Float32, ElementType.BFloat16];
var columns = new List<(string Name, CpuBackend Backend, ElementType Type)>();
foreach (string name in (string[])["vector128", "avx2", "avx512", "avx512bf16"])
{
    if (Create(name) is not { } backend) continue;
    foreach (ElementType type in types) columns.Add((name, backend, type));
}

Console.WriteLine($"{numThreads} {(numThreads == 1 ? "thread" : "threads")}; GFLOP/s, median of interleaved rounds; f32 and bf16 are the types of inputs, queries, keys and values, weights are bf16 where nothing else is said");
Console.WriteLine();
Console.WriteLine($"| | {string.Join(" | ", columns.Select(column => $"{column.Name} {column.Type.ShortName()}"))} |");
Console.WriteLine($"|---|{string.Concat(columns.Select(_ => "---|"))}");
(int Rows, int InputSize, int OutputSize)[] sizes = [(1, 4096, 4096), (16, 4096, 4096), (64, 4096, 4096), (256, 4096, 4096), (256, 768, 256)];
foreach (WeightType weights in (WeightType[])[WeightType.Model, WeightType.Int8])
{
    foreach ((int rows, int inputSize, int outputSize) in sizes)
    {
        Row($"linear {rows} × {inputSize} → {outputSize}{(weights == WeightType.Int8 ? ", int8 weights" : "")}", 2.0 * rows * inputSize * outputSize,
            (backend, type) => PrepareLinear(backend, type, weights, rows, inputSize, outputSize));
    }
}
foreach (int headDim in (int[])[64, 128])
    Row($"attention 256 rows × 4096 keys, 8/4 heads of {headDim}", 4.0 * 256 * 4096 * 8 * headDim, (backend, type) => PrepareAttention(backend, type, headDim));

void Row(string title, double flop, Func<CpuBackend, ElementType, Action> prepare)
{
    if (!title.Contains(wanted, StringComparison.Ordinal)) return;
    Action[] actions = [.. columns.Select(column => prepare(column.Backend, column.Type))];
    foreach (Action action in actions) action();
    int numRounds = Math.Clamp((int)(3e11 / flop), 9, 61) | 1;
    double[][] seconds = [.. actions.Select(_ => new double[numRounds])];
    for (int round = 0; round < numRounds; round++)
    {
        // Each round starts with another, so that nobody always follows the same neighbour.
        for (int i = 0; i < actions.Length; i++)
        {
            int chosen = (i + round) % actions.Length;
            long start = Stopwatch.GetTimestamp();
            actions[chosen]();
            seconds[chosen][round] = Stopwatch.GetElapsedTime(start).TotalSeconds;
        }
    }
    foreach (double[] rounds in seconds) Array.Sort(rounds);
    Console.WriteLine($"| {title} | {string.Join(" | ", seconds.Select(rounds => $"{flop / rounds[numRounds / 2] / 1e9:0}"))} |");
}

CpuBackend? Create(string name)
{
    try
    {
        return new CpuBackend(new CpuOptions { InstructionSet = name, NumThreads = numThreads });
    }
    catch (PlatformNotSupportedException)
    {
        return null;
    }
}

static Action PrepareLinear(CpuBackend backend, ElementType type, WeightType weights, int rows, int inputSize, int outputSize)
{
    PackedMatrix matrix = backend.PackMatrix(new RandomMatrix(outputSize, inputSize), weights);
    DeviceBuffer input = Upload(backend, type, rows * inputSize), output = backend.Allocate(type, (long)rows * outputSize);
    return () => backend.Linear(input, rows, matrix, output);
}

static Action PrepareAttention(CpuBackend backend, ElementType type, int headDim)
{
    const int numRows = 256, numKeys = 4096;
    var shape = new AttentionShape(8, 4, headDim);
    KvCache cache = backend.CreateKvCache(new KvCacheShape(1, shape.NumKvHeads, headDim, type), numKeys / KvCache.PageSize);
    int tokenSize = shape.NumKvHeads * headDim;
    cache.Write(0, [.. Enumerable.Range(0, numKeys)], Numbers(numKeys * tokenSize), Numbers(numKeys * tokenSize));
    var builder = new AttentionPlanBuilder();
    for (int row = 0; row < numRows; row++) builder.AddRows(numKeys, 1);
    builder.AddSegment(0, numRows, [.. Enumerable.Range(0, numKeys / KvCache.PageSize)], 0, numKeys, 0, AttentionMask.Full);
    AttentionPlan plan = builder.Build();
    DeviceBuffer query = Upload(backend, type, numRows * shape.NumHeads * headDim), output = backend.Allocate(type, query.Length);
    return () => backend.Attention(plan, shape, AttentionOptions.Default, query, cache, 0, output, null);
}

static DeviceBuffer Upload(CpuBackend backend, ElementType type, int length)
{
    DeviceBuffer buffer = backend.Allocate(type, length);
    buffer.Upload(Numbers(length));
    return buffer;
}

static float[] Numbers(int length)
{
    var random = new Random(1);
    var numbers = new float[length];
    for (int i = 0; i < length; i++) numbers[i] = random.NextSingle() - 0.5f;
    return numbers;
}

internal sealed class RandomMatrix(int outputSize, int inputSize) : MatrixSource
{
    private readonly Random _random = new(1);

    public override int OutputSize => outputSize;

    public override int InputSize => inputSize;

    public override ElementType ElementType => ElementType.BFloat16;

    public override ReadOnlyMemory<float> Bias => default;

    public override void ReadRows(int firstRow, Span<byte> rows)
    {
        foreach (ref ushort element in MemoryMarshal.Cast<byte, ushort>(rows)) element = BFloat16Bits.FromSingle(_random.NextSingle() - 0.5f);
    }
}
