using System.Text.Json;
using Hydragen.Cli.Bench;
using Hydragen.Cuda;

namespace Hydragen.Bench.Tests;

public sealed class AttentionBenchTests
{
    private const string Small = "attention --protocol custom --batch 3 --prefix 70 --suffix 5,66 --heads 4 --kv-heads 2 --head-dim 32 --repeats 2 --threads 2";

    [Theory]
    [InlineData("f32", 1)]
    [InlineData("bf16", 3)]
    [InlineData("f16", 5)]
    [InlineData("int8", 1)]
    [InlineData("fp8-e4m3", 2)]
    [InlineData("fp8-e5m2", 1)]
    public async Task Every_mode_of_every_point_gives_a_line_between_header_and_end(string kvType, int queryLength)
    {
        BenchRun run = await BenchRun.RunAsync($"{Small} --json --kv-type {kvType} --query-length {queryLength}");
        JsonElement[] lines = run.Lines;
        Assert.Equal("header", lines[0].GetProperty("type").GetString());
        Assert.StartsWith("hydragen bench attention", lines[0].GetProperty("command").GetString(), StringComparison.Ordinal);
        Assert.Equal("end", lines[^1].GetProperty("type").GetString());
        foreach (string ceiling in (string[])["fma_gflops", "fma_from_l1_gflops", "bf16_gflops", "read_gbps", "read_streams_gbps"])
        {
            Assert.True(lines[0].GetProperty("ceilings").GetProperty(ceiling).GetDouble() > 0);
            Assert.True(lines[^1].GetProperty("ceilings").GetProperty(ceiling).GetDouble() > 0);
        }
        Assert.Equal(
            (string[])["5 hydragen", "5 paged", "5 copied", "66 hydragen", "66 paged", "66 copied"],
            lines[1..^1].Select(line => $"{line.GetProperty("suffix").GetInt32()} {line.GetProperty("mode").GetString()}"));
        foreach (JsonElement line in lines[1..^1])
        {
            Assert.Equal(kvType, line.GetProperty("kv_type").GetString());
            Assert.Equal(2, line.GetProperty("samples_ms").GetArrayLength());
            double peak = lines[0].GetProperty("ceilings").GetProperty(kvType is "f32" or "f16" ? "fma_gflops" : "bf16_gflops").GetDouble();
            Assert.Equal(line.GetProperty("gflops").GetDouble() / peak, line.GetProperty("share_of_peak").GetDouble(), 1e-9);
            JsonElement ms = line.GetProperty("ms");
            Assert.InRange(ms.GetProperty("median").GetDouble(), ms.GetProperty("min").GetDouble(), ms.GetProperty("max").GetDouble());
            Assert.Equal(line.GetProperty("mode").GetString() != "hydragen", line.TryGetProperty("ratio_to_hydragen", out _));
            Assert.True(line.GetProperty("machine_state").GetProperty("before_gflops").GetDouble() > 0);
        }
    }

    [Theory]
    [InlineData("int8", "bf16")]
    [InlineData("f32", "f16")]
    public async Task Prefixes_have_a_type_of_their_own_and_are_not_copied_then(string kvType, string prefixKvType)
    {
        BenchRun run = await BenchRun.RunAsync($"{Small} --json --kv-type {kvType} --prefix-kv-type {prefixKvType}");
        Assert.Equal(
            (string[])["5 hydragen", "5 paged", "66 hydragen", "66 paged"],
            run.Lines[1..^1].Select(line => $"{line.GetProperty("suffix").GetInt32()} {line.GetProperty("mode").GetString()}"));
        foreach (JsonElement line in run.Lines[1..^1])
            Assert.Equal((kvType, prefixKvType), (line.GetProperty("kv_type").GetString(), line.GetProperty("prefix_kv_type").GetString()));
        Assert.Contains(
            "does not go with --prefix-kv-type", (await BenchRun.RunAsync($"{Small} --kv-type {kvType} --prefix-kv-type {prefixKvType} --modes copied")).Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Without_json_only_the_table_is_written_and_it_is_markdown()
    {
        BenchRun run = await BenchRun.RunAsync(Small + " --modes hydragen,copied");
        Assert.Equal(0, run.ExitCode);
        Assert.Empty(run.Output);
        string[] rows = [.. run.Error.Split('\n').Where(line => line.StartsWith('|'))];
        Assert.Equal(2 + 4, rows.Length);
        Assert.Single(rows.Select(row => row.Count(c => c == '|')).Distinct());
        Assert.DoesNotContain("paged", run.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_does_not_fit_is_listed_and_the_rest_runs()
    {
        BenchRun run = await BenchRun.RunAsync(
            "attention --protocol custom --batch 64 --prefix 512 --suffix 8 --kv-type f32 --repeats 1 --max-kv-memory 20 --json");
        JsonElement[] lines = run.Lines;
        Assert.Equal(5, lines.Length);
        Assert.True(lines[1].TryGetProperty("ms", out _));
        Assert.False(lines[3].TryGetProperty("ms", out _));
        Assert.Contains("MiB", lines[3].GetProperty("skipped").GetString(), StringComparison.Ordinal);
        Assert.Contains("copied: does not fit", run.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_micro_protocol_is_the_default_and_measures_three_prefixes()
    {
        // With one mebibyte nothing fits, so that nothing is measured.
        BenchRun run = await BenchRun.RunAsync("attention --max-kv-memory 1 --json");
        Assert.Equal(
            from prefix in (int[])[1024, 4096, 16384] from mode in (string[])["hydragen", "paged", "copied"] select ("micro", 64, prefix, 128, mode),
            run.Lines[1..^1].Select(line => (
                line.GetProperty("protocol").GetString()!, line.GetProperty("batch").GetInt32(), line.GetProperty("prefix").GetInt32(),
                line.GetProperty("suffix").GetInt32(), line.GetProperty("mode").GetString()!)));
        Assert.All(run.Lines[1..^1], line => Assert.True(line.TryGetProperty("skipped", out _)));
    }

    [Theory]
    [InlineData("suffix --suffix 1,512", 2)]
    [InlineData("suffix", 8)]
    [InlineData("tree", 2)]
    [InlineData("custom", 1)]
    public async Task Each_protocol_has_its_points(string protocol, int numPoints)
    {
        BenchRun run = await BenchRun.RunAsync($"attention --protocol {protocol} --modes copied --max-kv-memory 1 --json");
        Assert.Equal(1 + numPoints + 1, run.Lines.Length);
    }

    [Fact]
    public async Task The_chart_is_written()
    {
        string path = Path.Combine(Path.GetTempPath(), $"hydragen-bench-{Guid.NewGuid():N}.svg");
        try
        {
            BenchRun run = await BenchRun.RunAsync($"{Small} --plot {path}");
            Assert.Equal(0, run.ExitCode);
            Assert.Contains("<polyline", await File.ReadAllTextAsync(path), StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public async Task The_published_protocol_adds_a_line_for_each_configuration_and_whole_mode()
    {
        // With one mebibyte nothing fits, so that nothing is measured.
        BenchRun run = await BenchRun.RunAsync("attention --protocol published --modes hydragen,nodes,sequences --max-kv-memory 1 --json");
        Assert.Equal(1 + 10 * (5 * 1 + 2 + 1) + 1, run.Lines.Length);
        JsonElement[] published = [.. run.Lines.Where(line => line.GetProperty("type").GetString() == "published")];
        Assert.Equal(
            PublishedConfiguration.All.Select(row => (row.Batch, row.Prefix, row.NumGenerated, row.NumKvHeads, row.PublishedTokensPerSecond, "hydragen")),
            published.Select(line => (
                line.GetProperty("batch").GetInt32(), line.GetProperty("prefix").GetInt32(), line.GetProperty("generated").GetInt32(),
                line.GetProperty("kv_heads").GetInt32(), line.GetProperty("published_tokens_per_second").GetInt32(), line.GetProperty("mode").GetString()!)));
        Assert.All(published, line => Assert.Contains("MiB", line.GetProperty("skipped").GetString(), StringComparison.Ordinal));
        Assert.Contains("54,183", run.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Parts_of_a_tree_are_measured_beside_the_whole_and_outputs_are_kept()
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("hydragen-outputs-");
        try
        {
            BenchRun run = await BenchRun.RunAsync(
                "attention --protocol custom --batch 8 --tree 1x70,2x9,4x64 --suffix 5 --heads 4 --kv-heads 2 --head-dim 32 --repeats 1 --threads 2 --json"
                + $" --kv-type f32 --modes hydragen,copied,nodes,sequences --outputs {folder.FullName}");
            Assert.Equal(["hydragen", "copied", "nodes", "sequences"], run.Lines[1..^1].Select(line => line.GetProperty("mode").GetString()));
            Assert.All(run.Lines[1..^1], line => Assert.Equal("1x70,2x9,4x64", line.GetProperty("tree").GetString()));
            Assert.All(run.Lines[1..^1], line => Assert.True(line.GetProperty("gbps").GetDouble() > 0));
            FileInfo file = Assert.Single(folder.GetFiles());
            Assert.Equal("8-143-5-4-2.f32", file.Name);
            Assert.Equal(8 * 4 * 32 * sizeof(float), file.Length);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Fact]
    public async Task Without_a_gpu_the_message_says_what_is_missing()
    {
        CudaEnvironment environment = CudaEnvironment.Probe();
        if (environment.Missing.Count == 0) Assert.Skip("Nothing is missing here.");
        BenchRun run = await BenchRun.RunAsync("attention --device cuda --protocol published");
        Assert.Equal(1, run.ExitCode);
        Assert.Empty(run.Output);
        Assert.Contains(environment.Missing[0], run.Error, StringComparison.Ordinal);
        Assert.Equal(1, run.Error.Count(c => c == '\n'));
    }

    [Fact]
    public async Task On_a_gpu_every_mode_has_a_time_rates_and_memory()
    {
        if (CudaEnvironment.Probe().Missing is { Count: > 0 } missing) Assert.Skip(string.Join("; ", missing));
        BenchRun run = await BenchRun.RunAsync(
            "attention --device cuda --protocol custom --batch 64 --prefix 1024 --suffix 1,128 --heads 8 --kv-heads 2 --repeats 2 --json --modes hydragen,paged,copied,nodes,sequences");
        JsonElement[] lines = run.Lines;
        Assert.Equal(1 + 2 * 5 + 1, lines.Length);
        Assert.True(lines[0].GetProperty("ceilings").GetProperty("read_gbps").GetDouble() > 0);
        foreach (JsonElement line in lines[1..^1])
        {
            Assert.True(line.GetProperty("ms").GetProperty("median").GetDouble() > 0);
            Assert.True(line.GetProperty("share_of_read").GetDouble() > 0);
            Assert.True(line.GetProperty("memory_bytes").GetInt64() >= line.GetProperty("cache_and_buffer_bytes").GetInt64() * 0.9);
        }
    }

    [Fact]
    public async Task A_run_can_be_cancelled()
    {
        using var source = new CancellationTokenSource();
        Task<BenchRun> run = BenchRun.RunAsync("attention --protocol custom --repeats 10000", source.Token);
        await source.CancelAsync();
        Assert.Equal(130, (await run).ExitCode);
    }

    [Theory]
    [InlineData("", "commands are attention, decoding, generate")]
    [InlineData("nonsense", "'nonsense' is not a command of 'bench'")]
    [InlineData("attention --protocol micro --batch 3", "--batch does not go with --protocol micro")]
    [InlineData("attention --protocol published --heads 8", "--heads does not go with --protocol published")]
    [InlineData("attention --protocol micro --suffix 1", "--suffix does not go with --protocol micro")]
    [InlineData("attention --protocol published --suffix 1", "--suffix does not go with --protocol published")]
    [InlineData("attention --protocol tree --tree 1x2", "--tree does not go with --protocol tree")]
    [InlineData("attention --protocol paper", "--protocol must be published, micro, tree, suffix or custom")]
    [InlineData("attention --device gpu", "--device must be cpu or cuda")]
    [InlineData("attention --protocol custom --tree 1x2048,8", "--tree takes levels like 1x2048,8x512,64x128")]
    [InlineData("attention --protocol custom --tree 2x8,3x8", "a multiple of the nodes above")]
    [InlineData("attention --protocol custom --tree 1x8 --prefix 8", "--prefix and --tree exclude each other")]
    [InlineData("attention --protocol custom --tree 1x8,8x8 --batch 12", "--batch 12 cannot be shared out evenly among the 8 nodes")]
    [InlineData("attention --protocol custom --batch 0", "--batch takes numbers from 1")]
    [InlineData("attention --protocol custom --prefix 9..1", "--prefix takes numbers like")]
    [InlineData("attention --protocol custom --heads 8 --kv-heads 3", "divide the 8 query heads")]
    [InlineData("attention --protocol custom --head-dim 12", "multiple of 8")]
    [InlineData("attention --protocol custom --prefix 0 --suffix 0", "nothing to attend to")]
    [InlineData("attention --protocol suffix --suffix 0", "nothing to attend to")]
    [InlineData("attention --protocol custom --query-length 4 --suffix 2", "--query-length 4 needs suffixes")]
    [InlineData("attention --protocol published --query-length 2", "--query-length 2 needs suffixes")]
    [InlineData("attention --modes hydragen,no-attention", "--modes takes some of hydragen,paged,copied,nodes,sequences")]
    [InlineData("attention --modes paged,paged", "--modes takes some of")]
    [InlineData("attention --repeats 0", "--repeats must be a whole number")]
    [InlineData("attention --outputs /no/such/folder", "--outputs names the folder '/no/such/folder', which does not exist")]
    [InlineData("attention --plot /no/such/folder/x.svg", "its folder does not exist")]
    public async Task Bad_values_are_refused_in_one_line(string arguments, string part)
    {
        BenchRun run = await BenchRun.RunAsync(arguments);
        run.AssertBadInput(part);
    }
}
