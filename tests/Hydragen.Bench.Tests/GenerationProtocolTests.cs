using System.Text.Json;
using Hydragen.Cli;

namespace Hydragen.Bench.Tests;

public sealed class GenerationProtocolTests
{
    private const string Tiny = "generate --random-model 2,64,4,2,96,300 --threads 2 --repeats 2 --json";

    // 16 pages are 1 MiB.
    private const string Tree = "generate --random-model 2,128,4,2,96,300 --threads 2 --repeats 2 --json --protocol tree"
        + " --problems 3 --samples 4 --header-tokens 100 --problem-tokens 70 --new-tokens 20 --max-kv-memory 1";

    [Fact]
    public async Task Paper_times_decoding_as_a_call_for_all_tokens_less_a_call_for_one_and_the_prompt_once()
    {
        BenchRun run = await BenchRun.RunAsync($"{Tiny} --protocol paper --batch 2,5 --prefix 70,130 --new-tokens 6 --modes hydragen,copied");
        JsonElement[] rows = run.Lines[1..^1];
        Assert.Equal(8, rows.Length);
        foreach (JsonElement row in rows)
        {
            double[] all = Numbers(row, "all_tokens_seconds"), one = Numbers(row, "one_token_seconds"), decode = Numbers(row, "decode_seconds");
            for (int round = 0; round < 2; round++) Assert.Equal(Math.Max(1e-6, all[round] - one[round]), decode[round], 1e-12);
            Assert.Equal(row.GetProperty("prefix").GetInt32(), row.GetProperty("prefill_tokens").GetInt32());
            double[] speeds = [.. decode.Select(seconds => row.GetProperty("batch").GetInt32() * 5 / seconds).Order()];
            Assert.Equal((speeds[0] + speeds[1]) / 2, row.GetProperty("decode_tokens_per_second").GetProperty("median").GetDouble(), speeds[1] * 1e-9);
            Assert.True(row.GetProperty("decode_gbps").GetDouble() > 0);
            Assert.True(row.GetProperty("prefill_share_of_peak").GetDouble() > 0);
        }
        Assert.Single(rows.Where(row => row.GetProperty("prefix").GetInt32() == 70).Select(row => row.GetProperty("prefill_seconds").GetRawText()).Distinct());
    }

    [Fact]
    public async Task A_sweep_goes_on_where_it_was_cut_off_and_keeps_what_was_measured()
    {
        using var folder = new BenchFolder();
        string file = folder.File("rows.jsonl"), sweep = $"{Tiny} --protocol paper --prefix 70 --new-tokens 3 --modes hydragen,paged --resume {file}";
        JsonElement[] first = (await BenchRun.RunAsync($"{sweep} --batch 1,2,3")).Lines;
        string[] lines = await File.ReadAllLinesAsync(file);
        Assert.Equal(8, lines.Length);

        // As a kill leaves it: one mode of the last point is missing, and half of a line is there.
        await File.WriteAllTextAsync(file, string.Join('\n', lines[..6]) + "\n" + lines[6][..40]);
        JsonElement[] second = (await BenchRun.RunAsync($"{sweep} --batch 1,2,3,4")).Lines;
        string[] after = await File.ReadAllLinesAsync(file);
        Assert.Equal(lines[..5], after[..5]);
        Assert.Equal(10, after.Length);
        Assert.Equal(first[1..5].Select(line => line.GetRawText()), second[1..5].Select(line => line.GetRawText()));
        Assert.Equal((int[])[1, 1, 2, 2, 3, 3, 4, 4], second[1..^1].Select(line => line.GetProperty("batch").GetInt32()));
        Assert.Equal("end", JsonDocument.Parse(after[^1]).RootElement.GetProperty("type").GetString());

        // A part of the sweep alone measures nothing and forgets nothing.
        BenchRun part = await BenchRun.RunAsync($"{sweep} --batch 2");
        Assert.Equal(2, part.Lines[1..^1].Length);
        Assert.Equal(after[..^1], (await File.ReadAllLinesAsync(file))[..^1]);
        Assert.Contains("8 rows were measured before", part.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--new-tokens 3 --modes hydragen", "modes is \"hydragen,paged\" there and \"hydragen\" here")]
    [InlineData("--new-tokens 3 --modes hydragen,paged --compute-type bf16", "compute_type is \"auto\" there and \"bf16\" here")]
    [InlineData("--new-tokens 3 --modes hydragen,paged --max-kv-memory 9", "max_kv_bytes is 0 there")]
    public async Task A_file_of_other_settings_is_refused(string options, string part)
    {
        using var folder = new BenchFolder();
        string file = folder.File("rows.jsonl"), sweep = $"{Tiny} --protocol paper --batch 1 --prefix 70 --resume {file}";
        _ = (await BenchRun.RunAsync($"{sweep} --new-tokens 3 --modes hydragen,paged")).Lines;
        string before = await File.ReadAllTextAsync(file);
        BenchRun run = await BenchRun.RunAsync($"{sweep} {options}");
        run.AssertBadInput("holds results of other settings", part);
        Assert.Equal(before, await File.ReadAllTextAsync(file));
    }

    [Theory]
    [InlineData("{\"type\":\"header\"}\n", "holds no results of this benchmark")]
    [InlineData("no json\n", "line 1, is no JSON object")]
    [InlineData("[1]\n", "line 1, is no JSON object")]
    public async Task A_file_of_something_else_is_refused_and_stays(string text, string part)
    {
        using var folder = new BenchFolder();
        string file = folder.File("rows.jsonl");
        await File.WriteAllTextAsync(file, text);
        BenchRun run = await BenchRun.RunAsync($"{Tiny} --batch 1 --prefix 70 --new-tokens 3 --resume {file}");
        run.AssertBadInput(part);
        Assert.Equal(text, await File.ReadAllTextAsync(file));
    }

    [Fact]
    public async Task A_cancelled_sweep_shows_and_keeps_the_finished_points()
    {
        using var folder = new BenchFolder();
        string file = folder.File("rows.jsonl");
        using var cancellation = new CancellationTokenSource();
        Task<BenchRun> running = Task.Run(() => BenchRun.RunAsync(
            $"{Tiny} --batch 1..900 --prefix 70 --new-tokens 40 --modes hydragen --resume {file}", cancellation.Token));
        while (!running.IsCompleted && (!File.Exists(file) || CountLines(file) < 3)) await Task.Delay(10);
        await cancellation.CancelAsync();
        BenchRun run = await running;
        Assert.Equal(ExitCode.Cancelled, run.ExitCode);
        Assert.Contains("S_TG t/s", run.Error, StringComparison.Ordinal);
        Assert.True(CountLines(file) is >= 3 and < 900);
    }

    [Fact]
    public async Task Needles_answers_right_in_every_mode_that_attends()
    {
        BenchRun run = await BenchRun.RunAsync("generate --protocol needles --questions 2,30 --document-tokens 700 --repeats 1 --threads 2 --json");
        JsonElement[] rows = run.Lines[1..^1];
        Assert.Equal(
            (string[])["2 hydragen", "2 paged", "2 copied", "2 no-attention", "30 hydragen", "30 paged", "30 copied", "30 no-attention"],
            rows.Select(row => $"{row.GetProperty("questions").GetInt32()} {row.GetProperty("mode").GetString()}"));
        foreach (JsonElement row in rows)
        {
            bool attends = row.GetProperty("mode").GetString() != "no-attention";
            double accuracy = row.GetProperty("accuracy").GetDouble();
            Assert.True(attends ? accuracy >= 0.9 : accuracy <= 0.5, $"{row.GetProperty("mode")}: {accuracy}");
            int questions = row.GetProperty("questions").GetInt32();
            Assert.Equal(questions, Numbers(row, "asked_by_tenth").Sum());
            Assert.Equal(accuracy * questions, Numbers(row, "correct_by_tenth").Sum(), 1e-9);
            Assert.Equal(questions, row.GetProperty("largest_batch").GetInt32());
            Assert.True(row.GetProperty("prefill_tokens_per_second").GetDouble() > 0);
        }
    }

    [Fact]
    public async Task Needles_asks_again_when_the_document_answers_fewer_questions_and_waits_when_copies_do_not_fit()
    {
        BenchRun run = await BenchRun.RunAsync(
            "generate --protocol needles --questions 80 --document-tokens 120 --new-tokens 2 --repeats 1 --threads 2 --modes hydragen,copied --max-kv-memory 40 --json");
        JsonElement[] rows = run.Lines[1..^1];
        Assert.Equal(80, Numbers(rows[0], "asked_by_tenth").Sum());
        Assert.True(rows[1].GetProperty("largest_batch").GetInt32() < rows[0].GetProperty("largest_batch").GetInt32());
    }

    [Fact]
    public async Task Tree_compares_levels_at_an_equal_batch_and_at_the_batch_that_memory_allows()
    {
        BenchRun run = await BenchRun.RunAsync($"{Tree} --modes hydragen,one-level,paged,copied");
        JsonElement[] rows = run.Lines[1..^1];

        // Of 16 pages the header takes 2; the samples of a problem take 2 + 4 · 1, 4 · 2 or 2 + 4 · 3.
        Assert.Equal(
            (string[])["1 hydragen 4", "1 one-level 4", "1 paged 4", "1 copied 4", "3 hydragen 8", "3 one-level 7", "3 paged 8", "3 copied 4"],
            rows.Select(row => $"{row.GetProperty("problems_a_call").GetInt32()} {row.GetProperty("mode").GetString()} "
                + (row.TryGetProperty("largest_batch", out JsonElement batch) ? $"{batch.GetInt32()}" : "skipped")));
        double time(int row) => rows[row].GetProperty("time").GetProperty("median").GetDouble();
        Assert.Equal(1 - time(4) / time(1), rows[4].GetProperty("less_time_than_one_level").GetDouble(), 1e-9);
    }

    [Fact]
    public async Task Tree_lists_what_does_not_fit_at_the_equal_batch()
    {
        BenchRun run = await BenchRun.RunAsync($"{Tree} --at-once 2");
        JsonElement[] rows = run.Lines[1..^1];
        Assert.False(rows[0].TryGetProperty("skipped", out _));
        Assert.Contains("needs 1.9 MiB, but 1.0 MiB are allowed", rows[2].GetProperty("skipped").GetString(), StringComparison.Ordinal);
        Assert.Contains("2 problems a call, copied: does not fit", run.Error, StringComparison.Ordinal);
    }

    private static double[] Numbers(JsonElement row, string name) => [.. row.GetProperty(name).EnumerateArray().Select(value => value.GetDouble())];

    private static int CountLines(string file)
    {
        using var stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd().Count(c => c == '\n');
    }

    /// <summary>A folder that is deleted when disposed.</summary>
    private sealed class BenchFolder : IDisposable
    {
        private readonly string _path = Directory.CreateTempSubdirectory("hydragen-bench-tests-").FullName;

        public string File(string name) => Path.Combine(_path, name);

        public void Dispose() => Directory.Delete(_path, recursive: true);
    }
}
