using System.Runtime.InteropServices;
using Hydragen.Cuda;
using Hydragen.Models;

namespace Hydragen.Cli.Tests;

public sealed class AttentionTests : IDisposable
{
    /// <summary>FP32 against FP64 on at most some hundred keys of size 1.</summary>
    private const double Tolerance = 5e-5;

    /// <summary>Weights that err by 2^-8 of themselves, on values of at most 2.</summary>
    private const double BFloat16Weights = 2.0 / 256 + Tolerance;

    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Cases => [.. Operators.Keys];

    private static Dictionary<string, OperatorCase> Operators { get; } = new()
    {
        ["one node"] = new([(-1, 5)], [(0, 1, 3), (0, 2, 2), (0, 1, 1)]),
        ["nothing shared"] = new([], [(-1, 3, 7), (-1, 1, 1)]),
        ["a tree and a loner"] = new([(-1, 33), (0, 17), (0, 1), (1, 40)], [(3, 1, 2), (2, 4, 9), (-1, 2, 5), (1, 1, 1), (0, 3, 3)]),
        ["empty suffixes"] = new([(-1, 20), (0, 3)], [(1, 1, 0), (0, 3, 0), (1, 2, 4)]),
        ["empty nodes and queries"] = new([(-1, 0), (0, 6), (1, 0)], [(2, 1, 2), (0, 1, 1), (1, 0, 3), (0, 2, 0)]),
        ["scale"] = new([(-1, 50)], [(0, 1, 3), (0, 2, 5)]) { Scale = 0.5f },
        ["alibi"] = new([(-1, 30), (0, 20)], [(1, 2, 3), (1, 1, 0), (0, 1, 9), (-1, 3, 4)]) { Alibi = true },
        ["window"] = new([(-1, 30), (0, 20)], [(1, 2, 3), (1, 2, 0), (0, 1, 9), (-1, 3, 4)]) { Window = 7 },
        ["window of one"] = new([(-1, 9)], [(0, 2, 3), (0, 1, 1)]) { Window = 1 },
        ["soft-cap"] = new([(-1, 50)], [(0, 2, 3), (0, 1, 0)]) { SoftCap = 2.5f },
        ["everything"] = new([(-1, 70), (0, 10), (1, 5)], [(2, 3, 8), (2, 1, 1), (1, 2, 0), (-1, 1, 6)]) { Scale = 0.3f, Alibi = true, Window = 21, SoftCap = 3 },
    };

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task Every_way_to_compute_gives_the_attention_of_the_plan(string name)
    {
        string input = _folder.Write("case.safetensors", Operators[name].ToBytes());
        foreach (string[] options in (string[][])[
            ["--reference"], [], ["--sharing", "paged"], ["--sharing", "copied"], ["--threads", "1"], ["--kv-type", "bf16"], ["--kv-type", "f16"], ["--prefix-kv-type", "bf16"],
            ["--kv-type", "f16", "--prefix-kv-type", "f32", "--sharing", "paged"], ["--query-type", "bf16"]])
        {
            string output = _folder["out" + string.Concat(options)];
            CliResult result = await Cli.RunAsync(["attention", "--input", input, "--output", output, .. options]);
            result.AssertSuccess();
            Assert.Empty(result.Output + result.Error);
            AssertEqual(Operators[name], output, string.Join(' ', options));
        }
    }

    [Theory]
    [InlineData("int8", "f32", Tolerance)]
    [InlineData("int8", "bf16", BFloat16Weights)]
    [InlineData("fp8-e4m3", "bf16", BFloat16Weights)]
    [InlineData("fp8-e5m2", "f16", Tolerance)]
    public async Task Caches_of_bytes_give_the_attention_of_what_they_store(string kvType, string queryType, double tolerance)
    {
        var stored = new OperatorCase([(-1, 33), (0, 17)], [(1, 1, 2), (0, 4, 9), (-1, 2, 70)]) { Alibi = true, Window = 60 };
        stored.Store(Core.ElementTypes.Parse(kvType));
        string input = _folder.Write("case.safetensors", stored.ToBytes()), output = _folder["out"];
        (await Cli.RunAsync("attention", "--input", input, "--output", output, "--kv-type", kvType, "--query-type", queryType)).AssertSuccess();
        AssertEqual(stored, output, kvType, tolerance);
        // Nothing here is beyond the range of FP8.
        CliResult scaled = await Cli.RunAsync("attention", "--input", input, "--output", output, "--kv-type", kvType, "--query-type", queryType, "--kv-scaling", "calibrated");
        if (kvType == "int8")
        {
            scaled.AssertBadInput("calibrated scales", "int8");
            return;
        }
        scaled.AssertSuccess();
        AssertEqual(stored, output, kvType, tolerance);
    }

    [Fact]
    public async Task Copies_have_no_prefixes_with_a_type_of_their_own()
    {
        string input = _folder.Write("case.safetensors", Operators["one node"].ToBytes());
        (await Cli.RunAsync("attention", "--input", input, "--output", _folder["out"], "--sharing", "copied", "--prefix-kv-type", "int8"))
            .AssertBadInput("own copy of its prefix");
        (await Cli.RunAsync("attention", "--input", input, "--output", _folder["out"], "--prefix-kv-type", "f8"))
            .AssertBadInput("--prefix-kv-type must be auto, f32, bf16, f16, int8, fp8-e4m3 or fp8-e5m2, not 'f8'");
    }

    [Fact]
    public async Task Queries_of_bytes_are_refused()
    {
        string input = _folder.Write("case.safetensors", Operators["one node"].ToBytes());
        (await Cli.RunAsync("attention", "--input", input, "--output", _folder["out"], "--query-type", "int8")).AssertBadInput("--query-type must be f32, bf16");
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task A_gpu_gives_the_attention_of_the_plan(string name)
    {
        if (CudaEnvironment.Probe().Missing is { Count: > 0 } missing) Assert.Skip($"CUDA cannot be used: {string.Join("; ", missing)}.");
        string input = _folder.Write("case.safetensors", Operators[name].ToBytes());
        foreach ((string[] options, double tolerance) in ((string[], double)[])[
            ([], Tolerance), (["--sharing", "paged"], Tolerance), (["--kv-type", "bf16"], Tolerance),
            (["--kv-type", "bf16", "--query-type", "bf16"], BFloat16Weights), (["--kv-type", "f16", "--query-type", "f16", "--sharing", "copied"], BFloat16Weights)])
        {
            string output = _folder["out" + string.Concat(options)];
            CliResult result = await Cli.RunAsync(["attention", "--device", "cuda", "--input", input, "--output", output, .. options]);
            result.AssertSuccess();
            AssertEqual(Operators[name], output, string.Join(' ', options), tolerance);
        }
    }

    [Fact]
    public async Task Without_what_cuda_needs_the_message_names_it()
    {
        IReadOnlyList<string> missing = CudaEnvironment.Probe().Missing;
        if (missing.Count == 0) Assert.Skip("Nothing is missing here.");
        string input = _folder.Write("case.safetensors", Operators["one node"].ToBytes());
        CliResult result = await Cli.RunAsync("attention", "--device", "cuda", "--input", input, "--output", _folder["out"]);
        Assert.Equal(1, result.ExitCode);
        foreach (string line in missing) Assert.Contains(line, result.Error, StringComparison.Ordinal);
        Assert.Equal(1, result.Error.Count(c => c == '\n'));
    }

    [Theory]
    [InlineData("""{"nodes":[{"parent":0}],"sequences":[{"node":0}]}""", "parent")]
    [InlineData("""{"nodes":[{"parent":-2}],"sequences":[{"node":0}]}""", "parent")]
    [InlineData("""{"nodes":[{"parent":-1}],"sequences":[{"node":1}]}""", "node 1")]
    [InlineData("""{"nodes":[{"parent":-1}],"sequences":[{"node":-2}]}""", "node -2")]
    [InlineData("""{"nodes":[{"parent":-1}],"sequences":[{"node":0.5}]}""", "integer")]
    [InlineData("""{"nodes":[{"parent":-1}],"sequences":[]}""", "no sequences")]
    [InlineData("""{"nodes":[{"parent":-1}]}""", "no sequences")]
    [InlineData("""{"nodes":{},"sequences":[{"node":0}]}""", "array")]
    [InlineData("""{"nodes":[{"parent":-1},{"parent":-1}],"sequences":[{"node":0}]}""", "'node.1.key' is missing")]
    [InlineData("""{"nodes":[{"parent":-1}],"sequences":[{"node":0},{"node":0}]}""", "'sequence.1.query' is missing")]
    [InlineData("""{"nodes":[{"parent":-1}],"sequences":[{"node":0}],"window":0}""", "window")]
    [InlineData("""{"nodes":[{"parent":-1}],"sequences":[{"node":0}],"window":-1}""", "window")]
    [InlineData("""{"nodes":[{"parent":-1}],"sequences":[{"node":0}],"window":1.5}""", "window")]
    [InlineData("""{"nodes":[{"parent":-1}],"sequences":[{"node":0}],"softcap":0}""", "cap")]
    [InlineData("""{"nodes":[{"parent":-1}],"sequences":[{"node":0}],"softcap":-3}""", "cap")]
    [InlineData("""{"nodes":[{"parent":-1}],"sequences":[{"node":0}],"scale":1e999}""", "scale")]
    [InlineData("""{"nodes":[{"parent":-1}],"sequences":[{"node":0}],"scale":"1"}""", "scale")]
    [InlineData("""{"nodes":[{"parent":-1}],"sequences":[{"node":0}],"alibi":1}""", "alibi")]
    [InlineData("""{"nodes":[{"parent":-1}],"sequences":[{"node":0}],"sclae":1}""", "sclae")]
    [InlineData("""{"nodes":[],"nodes":[{"parent":-1}],"sequences":[{"node":0}]}""", "Duplicate")]
    [InlineData("{", "not valid JSON")]
    [InlineData("null", "JSON object")]
    public async Task A_wrong_plan_is_refused(string plan, string mistake) => (await RunAsync(plan, Valid())).AssertBadInput("case.safetensors", mistake);

    [Fact]
    public async Task Nodes_that_are_each_others_parents_are_refused()
    {
        Dictionary<string, int[]> tensors = Valid();
        tensors["node.1.key"] = tensors["node.1.value"] = [5, 2, 8];
        (await RunAsync("""{"nodes":[{"parent":1},{"parent":0}],"sequences":[{"node":0}]}""", tensors)).AssertBadInput("parent 1");
    }

    [Fact]
    public async Task A_deep_plan_is_refused() =>
        (await RunAsync(new string('[', 100_000) + new string(']', 100_000), Valid())).AssertBadInput("depth");

    [Theory]
    [InlineData("node.0.value", 5, 16, 1)]
    [InlineData("node.0.value", 4, 2, 8)]
    [InlineData("node.0.key", 5, 1, 8)]
    [InlineData("sequence.0.key", 3, 2, 16)]
    [InlineData("sequence.0.query", 1, 4, 16)]
    [InlineData("sequence.0.query", 1, 3, 8)]
    [InlineData("sequence.0.query", 1, 0, 8)]
    [InlineData("sequence.0.query", 4, 4, 8)]
    public async Task A_tensor_of_the_wrong_shape_is_refused(string name, int length, int heads, int headDim)
    {
        Dictionary<string, int[]> tensors = Valid();
        tensors[name] = [length, heads, headDim];
        (await RunAsync(ValidPlan, tensors)).AssertBadInput("case.safetensors");
    }

    [Theory]
    [InlineData(4)]
    [InlineData(12)]
    [InlineData(264)]
    public async Task A_head_dimension_without_kernels_is_refused(int headDim) =>
        (await RunAsync(ValidPlan, Valid(headDim))).AssertBadInput("head dimension", "multiple of 8");

    [Fact]
    public async Task A_missing_tensor_a_missing_plan_and_a_wrong_rank_are_refused()
    {
        Dictionary<string, int[]> tensors = Valid();
        tensors.Remove("sequence.0.value");
        (await RunAsync(ValidPlan, tensors)).AssertBadInput("'sequence.0.value' is missing");
        tensors["sequence.0.value"] = [3, 16];
        (await RunAsync(ValidPlan, tensors)).AssertBadInput("'sequence.0.value'", "[3, 16]");
        (await RunAsync(ValidPlan, Valid(), key: "plans")).AssertBadInput("'plan'");
    }

    [Fact]
    public async Task Not_a_number_stays_where_it_is()
    {
        Dictionary<string, int[]> tensors = Valid();
        (await RunAsync(ValidPlan, tensors, value: float.NaN)).AssertSuccess();
        Assert.All(Read(_folder["out"], "sequence.0.output"), value => Assert.True(float.IsNaN(value)));
    }

    [Fact]
    public async Task Files_that_cannot_be_used_are_refused()
    {
        string input = _folder.Write("case.safetensors", Operators["one node"].ToBytes());
        byte[] bytes = await File.ReadAllBytesAsync(input, TestContext.Current.CancellationToken);
        (await Cli.RunAsync("attention", "--input", input, "--output", input)).AssertBadInput("also the input");
        Assert.Equal(bytes, await File.ReadAllBytesAsync(input, TestContext.Current.CancellationToken));
        (await Cli.RunAsync("attention", "--input", input, "--output", _folder["none/out"])).AssertBadInput("folder does not exist");
        (await Cli.RunAsync("attention", "--input", _folder["none"], "--output", _folder["out"])).AssertBadInput("There is no file");
        (await Cli.RunAsync("attention", "--input", _folder.Path, "--output", _folder["out"])).AssertBadInput("folder");
        (await Cli.RunAsync("attention", "--input", _folder.Write("cut", bytes[..^4]), "--output", _folder["out"])).AssertBadInput("cut");
        (await Cli.RunAsync("attention", "--input", input, "--output", _folder["out"], "--kv-type", "f64")).AssertBadInput("--kv-type must be f32");
        (await Cli.RunAsync("attention", "--input", input, "--output", _folder["out"], "--device", "tpu")).AssertBadInput("--device must be cpu or cuda");
        Assert.False(File.Exists(_folder["out"]));
    }

    private const string ValidPlan = """{"nodes":[{"parent":-1}],"sequences":[{"node":0}]}""";

    private static Dictionary<string, int[]> Valid(int headDim = 8) => new()
    {
        ["node.0.key"] = [5, 2, headDim],
        ["node.0.value"] = [5, 2, headDim],
        ["sequence.0.query"] = [1, 4, headDim],
        ["sequence.0.key"] = [3, 2, headDim],
        ["sequence.0.value"] = [3, 2, headDim],
    };

    private Task<CliResult> RunAsync(string plan, Dictionary<string, int[]> tensors, float value = 0.5f, string key = "plan")
    {
        IEnumerable<(string, int[], float[])> filled = tensors.Select(tensor =>
            (tensor.Key, tensor.Value, Enumerable.Repeat(value, tensor.Value.Aggregate(1, (a, b) => a * b)).ToArray()));
        return Cli.RunAsync("attention", "--input", _folder.Write("case.safetensors", SafetensorsBytes.Of(key, plan, filled)), "--output", _folder["out"]);
    }

    private static void AssertEqual(OperatorCase expected, string path, string options, double tolerance = Tolerance)
    {
        for (int sequence = 0; sequence < expected.NumSequences; sequence++)
        {
            float[] outputs = Read(path, $"sequence.{sequence}.output"), logSumExps = Read(path, $"sequence.{sequence}.log_sum_exp");
            Assert.Equal(expected.QueryLength(sequence) * OperatorCase.NumHeads, logSumExps.Length);
            Assert.Equal(logSumExps.Length * OperatorCase.HeadDim, outputs.Length);
            for (int row = 0; row < logSumExps.Length; row++)
            {
                (double[] output, double logSumExp) = expected.Expect(sequence, row / OperatorCase.NumHeads, row % OperatorCase.NumHeads);
                Assert.True(
                    logSumExp == logSumExps[row] || Math.Abs(logSumExp - logSumExps[row]) < Tolerance,
                    $"{options}: log-sum-exp of sequence {sequence}, row {row}: {logSumExps[row]} instead of {logSumExp}");
                for (int d = 0; d < output.Length; d++)
                {
                    float found = outputs[row * OperatorCase.HeadDim + d];
                    Assert.True(Math.Abs(output[d] - found) < tolerance, $"{options}: output of sequence {sequence}, row {row}: {found} instead of {output[d]}");
                }
            }
        }
    }

    private static float[] Read(string path, string name)
    {
        using SafetensorsFile file = SafetensorsFile.Open(path);
        SafetensorsTensor tensor = file.Tensors[name];
        var values = new float[tensor.Shape.ToArray().Aggregate(1L, (a, b) => a * b)];
        file.Read(tensor, 0, MemoryMarshal.AsBytes(values.AsSpan()));
        return values;
    }
}
