using System.Text.Json;
using System.Xml.Linq;
using Hydragen.Cli.Bench;
using Hydragen.Core;
using Hydragen.Cuda;

namespace Hydragen.Bench.Tests;

public sealed class DecodingBenchTests
{
    private const string Small = "decoding --heads 4 --kv-heads 2 --head-dim 16 --repeats 1 --threads 2";

    private static readonly AttentionShape Shape = new(4, 2, 16);

    [Fact]
    public void The_sweeps_have_the_lengths_batches_and_shares_that_were_published()
    {
        ILookup<string, DecodingPoint> points = DecodingSweep.All.SelectMany(sweep => sweep.Points(Shape, int.MaxValue, int.MaxValue)).ToLookup(point => point.Sweep.Name);
        Assert.Equal(["prefill-length", "prefill-batch", "decode-length-1", "decode-length-128", "decode-batch", "hybrid"], points.Select(group => group.Key));
        Assert.All(points.SelectMany(group => group), point => Assert.Equal(0, point.Cell.Prefix));
        Assert.Equal((1, 64, 64L), Describe(points["prefill-length"].First()));
        Assert.Equal((1, 8192, 8192L), Describe(points["prefill-length"].Last()));
        Assert.Equal((1, 128, 128L), Describe(points["prefill-batch"].First()));
        Assert.Equal((2048, 128, 2048L * 128), Describe(points["prefill-batch"].Last()));
        foreach (int batch in (int[])[1, 128])
        {
            Assert.Equal((batch, 16, (long)batch), Describe(points[$"decode-length-{batch}"].First()));
            Assert.Equal((batch, 8192, (long)batch), Describe(points[$"decode-length-{batch}"].Last()));
        }
        Assert.Equal((1, 128, 1L), Describe(points["decode-batch"].First()));
        Assert.Equal((2048, 128, 2048L), Describe(points["decode-batch"].Last()));
        Assert.Equal(Enumerable.Range(0, 11).Select(i => (100, 128, (long)(100 - 10 * i) + 10 * i * 128)), points["hybrid"].Select(Describe));
        Assert.Equal(Enumerable.Range(0, 11).Select(i => 10 * i), points["hybrid"].Select(point => point.Value));

        static (int Batch, int Keys, long Rows) Describe(DecodingPoint point) => (point.Cell.Batch, point.Cell.Suffix, point.Cell.NumRows);
    }

    [Theory]
    [InlineData("\"type\":\"decoding\"", $"{Small} --sweeps decode-batch --kv-type f32 --max-batch 4 --max-seconds 0 --json", "decode-batch")]
    [InlineData("\"type\":\"attention\"", "attention --protocol custom --batch 2,4,8 --prefix 64 --suffix 16 --modes hydragen --repeats 1 --threads 2 --json", "hydragen")]
    public async Task What_was_measured_before_a_run_was_cancelled_is_shown(string line, string arguments, string cell)
    {
        BenchRun run = await BenchRun.RunUntilAsync(line, arguments);
        Assert.Equal(130, run.ExitCode);
        string[] rows = [.. run.Error.Split('\n').Where(row => row.StartsWith('|'))];
        Assert.InRange(rows.Length, 3, 4);
        Assert.Contains(cell, rows[2], StringComparison.Ordinal);
        Assert.DoesNotContain("\"type\":\"end\"", run.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Every_type_of_every_point_gives_a_line_and_every_sweep_a_chart()
    {
        string path = Path.Combine(Path.GetTempPath(), $"hydragen-bench-{Guid.NewGuid():N}.svg");
        try
        {
            BenchRun run = await BenchRun.RunAsync($"{Small} --sweeps decode-batch,hybrid,prefill-length --kv-type bf16,f32 --max-length 128 --max-batch 100 --max-seconds 0 --json --plot {path}");
            JsonElement[] lines = run.Lines;
            Assert.Equal("header", lines[0].GetProperty("type").GetString());
            Assert.Equal("end", lines[^1].GetProperty("type").GetString());
            // Without a limit of time, points come in the order of the sweeps.
            (string, int)[] points =
            [
                .. ((int[])[64, 128]).Select(length => ("prefill-length", length)),
                .. ((int[])[1, 2, 4, 8, 16, 32, 64]).Select(batch => ("decode-batch", batch)),
                .. Enumerable.Range(0, 11).Select(i => ("hybrid", 10 * i)),
            ];
            Assert.Equal(
                points.SelectMany(point => ((string[])["f32", "bf16"]).Select(type => (point.Item1, point.Item2, type))),
                lines[1..^1].Select(line => (line.GetProperty("sweep").GetString()!, line.GetProperty("value").GetInt32(), line.GetProperty("kv_type").GetString()!)));
            foreach (JsonElement line in lines[1..^1])
            {
                double peak = lines[0].GetProperty("ceilings").GetProperty(line.GetProperty("kv_type").GetString() == "bf16" ? "bf16_gflops" : "fma_gflops").GetDouble();
                Assert.Equal(line.GetProperty("gflops").GetDouble() / peak, line.GetProperty("share_of_peak").GetDouble(), 1e-9);
                Assert.True(line.GetProperty("gbps").GetDouble() > 0);
                double read = line.GetProperty("read_ceiling_gbps").GetDouble();
                Assert.True(read > 0);
                Assert.Equal(line.GetProperty("gbps").GetDouble() / read, line.GetProperty("share_of_read").GetDouble(), 1e-9);
                Assert.Equal(4, line.GetProperty("heads").GetInt32());
            }
            // What memory gives is measured around each point, not once.
            Assert.True(lines[1..^1].Select(line => line.GetProperty("read_ceiling_gbps").GetDouble()).Distinct().Count() > 1);
            Assert.Equal([100, 90, 80, 70, 60, 50, 40, 30, 20, 10, 0],
                lines.Where(line => line.TryGetProperty("sweep", out JsonElement sweep) && sweep.GetString() == "hybrid" && line.GetProperty("kv_type").GetString() == "f32")
                    .Select(line => line.GetProperty("decoding").GetInt32()));
            Assert.Equal(2 + 2 * points.Length, run.Error.Split('\n').Count(line => line.StartsWith('|')));
            // Of the sweeps, one waits for memory; its last point is summed up by type.
            string reads = Assert.Single(run.Error.Split('\n'), line => line.Contains("memory reads reach", StringComparison.Ordinal));
            Assert.Matches(@"^decode-batch at 64 sequences, share of the [\d.]+( to [\d.]+)? GB/s that memory reads reach: f32 \d+ %, bf16 \d+ %$", reads.TrimEnd());
            XElement root = XDocument.Load(path).Root!;
            XNamespace svg = "http://www.w3.org/2000/svg";
            Assert.Equal(3, root.Elements(svg + "svg").Count());
            // Two types and the ceiling of reads, or the peaks of two types.
            Assert.Equal([4, 3, 4], root.Elements(svg + "svg").Select(chart => chart.Elements(svg + "polyline").Count()));
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public async Task Points_that_do_not_fit_say_so_and_the_rest_runs()
    {
        BenchRun run = await BenchRun.RunAsync($"{Small} --sweeps decode-length-128 --kv-type f32 --max-length 1024 --max-kv-memory 8 --json");
        JsonElement[] lines = run.Lines[1..^1];
        Assert.Equal(7, lines.Length);
        Assert.True(lines.Single(line => line.GetProperty("keys").GetInt32() == 16).TryGetProperty("ms", out _));
        JsonElement last = lines.Single(line => line.GetProperty("keys").GetInt32() == 1024);
        Assert.False(last.TryGetProperty("ms", out _));
        Assert.Contains("8.0 MiB are allowed", last.GetProperty("skipped").GetString(), StringComparison.Ordinal);
        Assert.Contains("decode-length-128 1024 (f32): needs", run.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Points_that_take_too_long_are_listed_and_every_point_is_accounted_for()
    {
        // One second is over before the ceilings are known, so that nothing runs.
        BenchRun run = await BenchRun.RunAsync($"{Small} --kv-type bf16 --max-seconds 1 --json");
        JsonElement[] lines = run.Lines[1..^1];
        Assert.Equal(DecodingSweep.All.Sum(sweep => sweep.Values.Count), lines.Length);
        Assert.All(lines, line => Assert.Contains("left out", line.GetProperty("skipped").GetString(), StringComparison.Ordinal));
        Assert.Contains("hybrid 0 (bf16), 10 (bf16)", run.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Without_an_option_all_types_of_the_device_are_measured()
    {
        BenchRun run = await BenchRun.RunAsync($"{Small} --sweeps decode-batch --max-batch 1 --json");
        Assert.Equal(
            ["f32", "bf16", "f16", "int8", "fp8-e4m3", "fp8-e5m2"], run.Lines[1..^1].Select(line => line.GetProperty("kv_type").GetString()).Take(6));
    }

    [Fact]
    public async Task A_run_can_be_cancelled()
    {
        using var source = new CancellationTokenSource();
        Task<BenchRun> run = BenchRun.RunAsync("decoding --max-seconds 0 --repeats 10000", source.Token);
        await source.CancelAsync();
        Assert.Equal(130, (await run).ExitCode);
    }

    [Fact]
    public async Task On_a_gpu_every_point_has_a_time_and_rates()
    {
        if (CudaEnvironment.Probe().Missing is { Count: > 0 } missing) Assert.Skip(string.Join("; ", missing));
        BenchRun run = await BenchRun.RunAsync("decoding --device cuda --kv-type bf16 --max-length 256 --max-batch 100 --repeats 2 --json");
        Assert.All(run.Lines[1..^1], line => Assert.True(line.GetProperty("share_of_read").GetDouble() > 0));
    }

    [Theory]
    [InlineData("decoding --sweeps prefill", "--sweeps takes some of prefill-length,prefill-batch,decode-length-1,decode-length-128,decode-batch,hybrid, not 'prefill'")]
    [InlineData("decoding --sweeps hybrid,hybrid", "--sweeps takes some of")]
    [InlineData("decoding --kv-type f64", "--kv-type takes some of f32,bf16,f16,int8,fp8-e4m3,fp8-e5m2")]
    [InlineData("decoding --heads 8 --kv-heads 3", "divide the 8 query heads")]
    [InlineData("decoding --head-dim 12", "multiple of 8")]
    [InlineData("decoding --max-seconds -1", "--max-seconds must be a whole number 0 or more")]
    [InlineData("decoding --sweeps prefill-length --max-length 10", "--max-length and --max-batch leave no point")]
    [InlineData("decoding --modes hydragen", "--modes")]
    [InlineData("decoding --plot /no/such/folder/x.svg", "its folder does not exist")]
    public async Task Bad_values_are_refused_in_one_line(string arguments, string part)
    {
        BenchRun run = await BenchRun.RunAsync(arguments);
        run.AssertBadInput(part);
    }
}
