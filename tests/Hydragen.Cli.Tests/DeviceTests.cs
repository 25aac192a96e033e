using System.Text.Json;
using Hydragen.Cuda;
using Hydragen.Models;

namespace Hydragen.Cli.Tests;

/// <summary><c>--device cuda</c>: what it says where it cannot run, and on a GPU the same results as the processor.</summary>
[Collection(nameof(DeviceTests))]
public sealed class DeviceTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly GoldenReader _golden = GoldenReader.Load();

    [CollectionDefinition(nameof(DeviceTests), DisableParallelization = true)]
    public sealed class OneAtATime;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Without_a_gpu_the_message_says_what_is_missing()
    {
        CudaEnvironment environment = CudaEnvironment.Probe();
        if (environment.Missing.Count == 0) Assert.Skip("Nothing is missing here.");
        CliResult result = await Cli.GenerateAsync("--prompt", "a", "--device", "cuda");
        Assert.Equal(1, result.ExitCode);
        Assert.Empty(result.Output);
        foreach (string missing in environment.Missing) Assert.Contains(missing, result.Error, StringComparison.Ordinal);
        Assert.Equal(1, result.Error.Count(c => c == '\n'));
    }

    [Fact]
    public async Task INT8_weights_are_refused_on_a_gpu() =>
        (await Cli.GenerateAsync("--prompt", "a", "--device", "cuda", "--weight-type", "int8")).AssertBadInput("--weight-type int8", "--device cpu");

    [Fact]
    public async Task The_doctor_tells_about_the_library_of_matrix_products()
    {
        CliResult result = await Cli.RunAsync("doctor");
        Assert.Contains(CudaEnvironment.MatrixLibraryVersion is null ? CudaEnvironment.MissingMatrixLibrary : "cuBLASLt", result.Output, StringComparison.Ordinal);
        Assert.True(Assert.Single((await Cli.RunAsync("doctor", "--json")).Lines).GetProperty("cuda").TryGetProperty("cublaslt", out _));
    }

    [Theory]
    [InlineData("auto")]
    [InlineData("f32")]
    [InlineData("bf16")]
    [InlineData("f16")]
    public async Task The_gpu_answers_like_the_processor_in_all_modes_of_sharing(string computeType)
    {
        SkipWithoutGpu();
        string document = _folder.Write("document.txt", _golden.Document), questions = _folder.Write("questions.txt", string.Join('\n', _golden.Cases.Select(item => item.Question)));
        foreach (string mode in (string[])["hydragen", "paged", "copied"])
        {
            CliResult result = await Cli.RunAsync(
                "ask", "--document", document, "--questions", questions, "--device", "cuda", "--compute-type", computeType, "--sharing", mode);
            Assert.Equal(_golden.Cases.Select(item => item.AnswerText.Trim()), result.Lines.Select(line => line.GetProperty("answer").GetString()));
        }
    }

    [Fact]
    public async Task The_gpu_generates_the_greedy_tokens_of_the_processor()
    {
        SkipWithoutGpu();
        string[] arguments = ["--prompt", _golden.Document, "--prompt", _golden.Document + " The", "--samples", "2", "--max-new-tokens", "24", "--ignore-eos", "--compute-type", "f32"];
        CliResult expected = await Cli.GenerateAsync(arguments), found = await Cli.GenerateAsync([.. arguments, "--device", "cuda", "--stats"]);
        Assert.Equal(expected.Output, found.Output);
        Assert.Contains("KV memory", found.Error, StringComparison.Ordinal);
    }

    // With cuts by rank the engine draws from logits that came back; else the GPU draws.
    [Theory]
    [InlineData("--top-k", "20", "--top-p", "0.9")]
    [InlineData("--min-p", "0.02")]
    public async Task Sampled_tokens_are_those_of_the_processor(params string[] sampling)
    {
        SkipWithoutGpu();
        string[] arguments =
        [
            "generate", "--model", Cli.EmbeddedModel, "--prompt", _golden.Document, "--samples", "8", "--max-new-tokens", "8", "--seed", "5",
            "--temperature", "0.7", "--compute-type", "f32", .. sampling,
        ];
        Assert.Equal((await Cli.RunAsync(arguments)).Output, (await Cli.RunAsync([.. arguments, "--device", "cuda"])).Output);
    }

    [Theory]
    [InlineData("f32")]
    [InlineData("bf16")]
    [InlineData("f16")]
    public async Task Logits_of_the_gpu_are_those_of_the_processor_within_the_bound(string computeType)
    {
        SkipWithoutGpu();
        string input = _folder.Write("lines.jsonl", JsonSerializer.Serialize(new { text = _golden.Document }));
        float[] expected = await LogitsAsync(input, "cpu", "f32"), found = await LogitsAsync(input, "cuda", computeType);
        Assert.Equal(expected.Length, found.Length);
        double worst = 0, errors = 0, squares = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            double error = Math.Abs((double)expected[i] - found[i]);
            worst = Math.Max(worst, error);
            errors += error * error;
            squares += (double)expected[i] * expected[i];
        }
        // The bounds of docs/exactness.md; six layers.
        double bound = computeType switch { "bf16" => 2 * Math.Pow(2, -9) * Math.Sqrt(61), "f16" => 2 * Math.Pow(2, -12) * Math.Sqrt(61), _ => 1e-4 };
        TestContext.Current.TestOutputHelper?.WriteLine($"largest difference {worst:g3}, relative error {Math.Sqrt(errors / squares):g3}");
        Assert.True(Math.Sqrt(errors / squares) <= bound, $"the relative error is {Math.Sqrt(errors / squares):g3}, allowed are {bound:g3}");
        if (computeType == "f32") Assert.InRange(worst, 0, 2e-3);
    }

    [Fact]
    public async Task The_benchmark_and_the_demo_run_on_the_gpu()
    {
        SkipWithoutGpu();
        CliResult result = await Cli.RunAsync(
            "bench", "generate", "--device", "cuda", "--random-model", "2,128,4,2,256,512", "--batch", "4", "--prefix", "100", "--new-tokens", "4", "--repeats", "1", "--json");
        Assert.Equal(["header", "generate", "generate", "generate", "generate", "end"], result.Lines.Select(line => line.GetProperty("type").GetString()));
        Assert.Equal("bf16", result.Lines[1].GetProperty("compute_type").GetString());
        CliResult demo = await Cli.RunAsync("demo", "--device", "cuda", "--document-tokens", "600", "--questions", "8", "--seed", "3", "--json");
        Assert.Single(demo.Lines);
    }

    [Fact]
    public async Task More_KV_memory_than_the_gpu_has_is_refused_with_the_numbers()
    {
        SkipWithoutGpu();
        CliResult result = await Cli.GenerateAsync("--prompt", "a", "--device", "cuda", "--max-kv-memory", "10000000");
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("10000000 MiB", result.Error, StringComparison.Ordinal);
    }

    private static void SkipWithoutGpu()
    {
        IReadOnlyList<string> missing = CudaEnvironment.Probe().Missing;
        if (missing.Count > 0) Assert.Skip($"CUDA cannot be used: {string.Join("; ", missing)}.");
        if (CudaEnvironment.MatrixLibraryVersion is null) Assert.Skip(CudaEnvironment.MissingMatrixLibrary);
    }

    private async Task<float[]> LogitsAsync(string input, string device, string computeType)
    {
        string path = _folder[$"logits-{device}-{computeType}.safetensors"];
        (await Cli.RunAsync("score", "--model", Cli.EmbeddedModel, "--input", input, "--logits", path, "--device", device, "--compute-type", computeType)).AssertSuccess();
        using SafetensorsFile file = SafetensorsFile.Open(path);
        SafetensorsTensor tensor = file.Tensors["logits.0"];
        var logits = new float[tensor.ByteLength / sizeof(float)];
        file.ReadSingles(tensor, 0, logits);
        return logits;
    }
}
