using System.Diagnostics;
using System.Globalization;

namespace Hydragen.Cli.Tests;

/// <summary>Ranks as processes: the same output as one, exit codes, and an end within ten seconds when one of them dies.</summary>
[Collection(nameof(LaunchTests))]
public sealed class LaunchTests
{
    private static readonly TimeSpan EndTime = TimeSpan.FromSeconds(10);

    // Ends only when it is stopped.
    private static readonly string[] Endless =
    [
        "generate", "--model", Cli.EmbeddedModel, "--prompt", "These", "--samples", "1", "--ignore-eos", "--max-new-tokens", "16000", "--temperature", "0",
        "--stop", "cannot be produced",
    ];

    [CollectionDefinition(nameof(LaunchTests), DisableParallelization = true)]
    public sealed class OneAtATime;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(4)]
    public async Task The_output_is_that_of_one_process(int numRanks)
    {
        string[] command =
        [
            "generate", "--model", Cli.EmbeddedModel, "--prompts", "These things are|The village", "--prompts", " known.| told.", "--samples", "2",
            "--max-new-tokens", "12", "--seed", "4", "--temperature", "0.7",
        ];
        CliResult expected = await Cli.RunAsync(command);
        expected.AssertSuccess();
        (int code, string output, string error) = await LaunchAsync(numRanks, command);
        Assert.Empty(error);
        Assert.Equal(0, code);
        Assert.Equal(expected.Output, output);
    }

    [Fact]
    public async Task Rank_0_alone_reads_standard_input()
    {
        using Process process = Start(2, "score", "--model", Cli.EmbeddedModel);
        await process.StandardInput.WriteAsync("{\"ids\":[5,6,7]}\n");
        process.StandardInput.Close();
        (int code, string output, string error) = await FinishAsync(process);
        Assert.Empty(error);
        Assert.Equal(0, code);
        Assert.StartsWith("{\"ids\":[5,6,7],\"logprobs\":[null,", output, StringComparison.Ordinal);
        Assert.Single(output.Split('\n', StringSplitOptions.RemoveEmptyEntries));
    }

    [Fact]
    public async Task What_is_wrong_with_the_input_is_said_once_with_exit_code_2()
    {
        (string[] Command, string Message)[] cases =
        [
            (["generate", "--model", "no-such-folder", "--prompt", "a"], "no model folder 'no-such-folder'"),
            (["generate", "--model", Cli.EmbeddedModel], "--prompt"),
            (["generate", "--no-such-option"], "--model"),
        ];
        foreach ((string[] command, string message) in cases)
        {
            (int code, string output, string error) = await LaunchAsync(2, command);
            Assert.Equal(2, code);
            Assert.Empty(output);
            Assert.StartsWith("hydragen: ", error, StringComparison.Ordinal);
            Assert.Contains(message, error, StringComparison.Ordinal);
            Assert.Equal(1, error.Count(c => c == '\n'));
        }
    }

    [Fact]
    public async Task A_model_that_cannot_be_split_is_refused_with_what_does_not_divide()
    {
        (int code, _, string error) = await LaunchAsync(3, "generate", "--model", Cli.EmbeddedModel, "--prompt", "a");
        Assert.Equal(2, code);
        Assert.Equal("hydragen: The model's 8 query heads cannot be split over 3 ranks; it can run on 1, 2, 4.", error.TrimEnd());
    }

    [Theory]
    [InlineData("launch", "generate", "--gpus")]
    [InlineData("launch", "--gpus", "2", "what to run")]
    [InlineData("launch", "--gpus", "0", "generate", "--gpus must be a whole number from 1 to 64")]
    public async Task A_launch_that_says_too_little_is_bad_input(params string[] argsAndMessage) =>
        (await Cli.RunAsync(argsAndMessage[..^1])).AssertBadInput(argsAndMessage[^1]);

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task A_killed_rank_ends_the_job_with_its_signal(int victim)
    {
        (int code, string output, string error) = await DisturbAsync("-KILL", rank: victim);
        Assert.Equal(128 + 9, code);
        Assert.Empty(output);
        Assert.Contains($"rank {victim} was killed by signal 9", error, StringComparison.Ordinal);
        Assert.Contains($"rank {victim} is gone", error, StringComparison.Ordinal);
        if (victim == 0) Assert.Contains("rank 1: hydragen: rank 0 is gone", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_rank_that_hangs_is_lost_and_ends_the_job()
    {
        (int code, string output, string error) = await DisturbAsync("-STOP", rank: 1);
        Assert.Equal(1, code);
        Assert.Empty(output);
        Assert.Contains("rank 1 is lost: it has been silent", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_interrupt_ends_all_ranks_with_exit_code_130()
    {
        (int code, string output, string error) = await DisturbAsync("-INT", rank: null);
        Assert.Equal(130, code);
        Assert.Empty(output);
        Assert.Contains("hydragen: cancelled", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Ranks_end_when_the_launcher_is_killed()
    {
        if (!OperatingSystem.IsLinux()) Assert.Skip("The test looks for ranks in /proc.");
        using Process process = Start(2, Endless);
        int[] ranks = await FindRanksAsync(process, 2);
        process.Kill();
        using var limit = new CancellationTokenSource(EndTime);
        while (ranks.Any(IsAlive)) await Task.Delay(50, limit.Token);
    }

    [Fact]
    public async Task A_rank_that_never_comes_is_named()
    {
        using Process process = Start("0", "2", Cli.EmbeddedModel);
        (int code, string output, string error) = await FinishAsync(process);
        Assert.Equal(1, code);
        Assert.Empty(output);
        Assert.StartsWith("hydragen: Rank 1 of 2 did not come to 127.0.0.1:", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Variables_that_make_no_sense_are_named()
    {
        using Process process = Start("5", "2", Cli.EmbeddedModel);
        (int code, _, string error) = await FinishAsync(process);
        Assert.Equal(2, code);
        Assert.StartsWith("hydragen: RANK/WORLD_SIZE names rank 5 of 2", error, StringComparison.Ordinal);
    }

    /// <summary>Sends a signal to a rank, or to the launcher, of a job that would not end by itself, and waits for its end.</summary>
    private static async Task<(int Code, string Output, string Error)> DisturbAsync(string signal, int? rank)
    {
        if (!OperatingSystem.IsLinux()) Assert.Skip("The test looks for ranks in /proc.");
        using Process process = Start(2, Endless);
        int[] ranks = await FindRanksAsync(process, 2);

        // Time for the ranks to meet and the model to load.
        await Task.Delay(TimeSpan.FromSeconds(3), TestContext.Current.CancellationToken);
        Assert.False(process.HasExited);
        using Process kill = Process.Start("kill", [signal, (rank is null ? process.Id : ranks[rank.Value]).ToString(CultureInfo.InvariantCulture)]);
        using var limit = new CancellationTokenSource(EndTime);
        (int Code, string Output, string Error) result = await FinishAsync(process, limit.Token);
        Assert.DoesNotContain(ranks, IsAlive);
        return result;
    }

    /// <summary>Whether a process runs; one that nobody has asked about since it ended does not.</summary>
    private static bool IsAlive(int process)
    {
        try
        {
            string state = File.ReadAllText($"/proc/{process}/stat");
            return !state[(state.LastIndexOf(')') + 1)..].TrimStart().StartsWith('Z');
        }
        catch (IOException)
        {
            return false;
        }
    }

    /// <summary>The processes of the ranks that a launcher started.</summary>
    private static async Task<int[]> FindRanksAsync(Process launcher, int numRanks)
    {
        var ranks = new int[numRanks];
        while (ranks.Contains(0))
        {
            await Task.Delay(50, TestContext.Current.CancellationToken);
            foreach (int child in Directory.GetDirectories($"/proc/{launcher.Id}/task")
                .SelectMany(task => File.ReadAllText($"{task}/children").Split(' ', StringSplitOptions.RemoveEmptyEntries))
                .Select(id => int.Parse(id, CultureInfo.InvariantCulture)))
            {
                string[] variables = (await File.ReadAllTextAsync($"/proc/{child}/environ", TestContext.Current.CancellationToken)).Split('\0');
                for (int rank = 0; rank < numRanks; rank++)
                {
                    if (variables.Contains($"RANK={rank}")) ranks[rank] = child;
                }
            }
        }
        return ranks;
    }

    private static async Task<(int Code, string Output, string Error)> LaunchAsync(int numRanks, params string[] command)
    {
        using Process process = Start(numRanks, command);
        process.StandardInput.Close();
        return await FinishAsync(process);
    }

    private static Process Start(int numRanks, params string[] command) =>
        Start(["launch", "--gpus", numRanks.ToString(CultureInfo.InvariantCulture), .. command], []);

    /// <summary>One rank alone, which waits a second for the others.</summary>
    private static Process Start(string rank, string size, string model) => Start(
        ["generate", "--model", model, "--prompt", "a"],
        [("RANK", rank), ("WORLD_SIZE", size), ("MASTER_PORT", "29517"), ("HYDRAGEN_JOIN_SECONDS", "1")]);

    private static Process Start(string[] args, (string Name, string Value)[] variables)
    {
        var start = new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, OperatingSystem.IsWindows() ? "hydragen.exe" : "hydragen"), args)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach ((string name, string value) in variables) start.Environment[name] = value;
        return Process.Start(start)!;
    }

    private static async Task<(int Code, string Output, string Error)> FinishAsync(Process process, CancellationToken? limit = null)
    {
        Task<string> output = process.StandardOutput.ReadToEndAsync(), error = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync(limit ?? TestContext.Current.CancellationToken);
        return (process.ExitCode, await output, await error);
    }
}
