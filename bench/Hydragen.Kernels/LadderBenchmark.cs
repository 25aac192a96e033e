using Hydragen.Cli.Bench;
using Hydragen.Core;
using Hydragen.Cpu;

namespace Hydragen.Kernels;

/// <summary>Every instruction set of this machine on the same work: the table of docs/kernels-cpu.md.</summary>
internal static class LadderBenchmark
{
    private static readonly ElementType[] Types = [ElementType.Float32, ElementType.BFloat16];
    private static readonly (int Rows, int InputSize, int OutputSize)[] Sizes = [(1, 4096, 4096), (16, 4096, 4096), (64, 4096, 4096), (256, 4096, 4096), (256, 768, 256)];
    private static readonly string[] InstructionSets = ["vector128", "avx2", "avx512", "avx512bf16", "amx"];

    public static void Run(Settings settings, Report report)
    {
        foreach (int numThreads in settings.Threads)
        {
            List<(string Name, CpuBackend Backend, ElementType Type)> columns =
            [
                .. from name in InstructionSets
                   where settings.InstructionSet is null || settings.InstructionSet == name
                   let backend = Create(name, numThreads)
                   where backend is not null
                   from type in Types
                   select (name, backend, type),
            ];
            if (columns.Count == 0) throw new PlatformNotSupportedException($"The instruction set '{settings.InstructionSet}' does not run here.");
            Report.Begin(
                $"{numThreads} {(numThreads == 1 ? "thread" : "threads")}; GFLOP/s, median of interleaved rounds; f32 and bf16 are the types of inputs, queries, keys and values, weights are bf16 where nothing else is said",
                ["", .. columns.Select(column => $"{column.Name} {column.Type.ShortName()}")]);
            foreach (WeightType weights in (WeightType[])[WeightType.Model, WeightType.Int8])
            {
                foreach ((int rows, int inputSize, int outputSize) in Sizes)
                {
                    Row($"linear {rows} × {inputSize} → {outputSize}{(weights == WeightType.Int8 ? ", int8 weights" : "")}", 2.0 * rows * inputSize * outputSize,
                        (backend, type) => PrepareLinear(backend, type, weights, rows, inputSize, outputSize));
                }
            }
            foreach (int headDim in (int[])[64, 128])
            {
                Row($"attention 256 rows × 4096 keys, 8/4 heads of {headDim}", 4.0 * 256 * 4096 * 8 * headDim,
                    (backend, type) => PrepareAttention(backend, type, headDim));
            }

            void Row(string title, double flop, Func<CpuBackend, ElementType, Action> prepare)
            {
                Action[] actions = [.. columns.Select(column => prepare(column.Backend, column.Type))];
                foreach (Action action in actions) action();
                int numRounds = Math.Clamp((int)(3e11 / flop), settings.Rounds, 61) | 1;
                double[][] seconds = [.. actions.Select(_ => new double[numRounds])];
                for (int round = 0; round < numRounds; round++)
                {
                    // Each round starts with another, so that nobody always follows the same neighbour.
                    for (int i = 0; i < actions.Length; i++)
                    {
                        int chosen = (i + round) % actions.Length;
                        seconds[chosen][round] = Samples.Time(actions[chosen], 1);
                    }
                }
                Spread[] rates = [.. seconds.Select(rounds => Spread.Of(rounds.Select(time => flop / time / 1e9)))];
                Report.WriteRow([title, .. rates.Select(rate => $"{rate.Median:0}")]);
                for (int i = 0; i < columns.Count; i++)
                {
                    int column = i;
                    report.Write("ladder", json =>
                    {
                        Report.WriteBackend(json, columns[column].Backend, numThreads);
                        json.WriteString("operator", title);
                        json.WriteString("element_type", columns[column].Type.ShortName());
                        json.WriteSpread("gflops", rates[column]);
                    });
                }
            }
        }
    }

    private static CpuBackend? Create(string name, int numThreads)
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

    private static Action PrepareLinear(CpuBackend backend, ElementType type, WeightType weights, int rows, int inputSize, int outputSize)
    {
        PackedMatrix matrix = backend.PackMatrix(new RandomMatrix(outputSize, inputSize), weights);
        DeviceBuffer input = RandomData.Upload(backend, type, rows * inputSize), output = backend.Allocate(type, (long)rows * outputSize);
        return () => backend.Linear(input, rows, matrix, output);
    }

    private static Action PrepareAttention(CpuBackend backend, ElementType type, int headDim)
    {
        const int numRows = 256, numKeys = 4096;
        var shape = new AttentionShape(8, 4, headDim);
        KvCache cache = backend.CreateKvCache(new KvCacheShape(1, shape.NumKvHeads, headDim, type), numKeys / KvCache.PageSize);
        float[] numbers = RandomData.Numbers(numKeys * shape.NumKvHeads * headDim);
        RandomData.Fill(cache, 0, numbers, numbers);
        var builder = new AttentionPlanBuilder();
        for (int row = 0; row < numRows; row++) builder.AddRows(numKeys, 1);
        builder.AddSegment(0, numRows, [.. Enumerable.Range(0, numKeys / KvCache.PageSize)], 0, numKeys, 0, AttentionMask.Full);
        AttentionPlan plan = builder.Build();
        DeviceBuffer query = RandomData.Upload(backend, type, numRows * shape.NumHeads * headDim), output = backend.Allocate(type, query.Length);
        return () => backend.Attention(plan, shape, AttentionOptions.Default, query, cache, 0, output, null);
    }
}
