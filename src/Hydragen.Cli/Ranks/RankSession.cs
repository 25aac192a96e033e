using System.Diagnostics;
using System.Globalization;
using Hydragen.Core;
using Hydragen.Cuda;

namespace Hydragen.Cli.Ranks;

/// <summary>This process among the ranks that a launcher started, if one did.</summary>
internal static class RankSession
{
    /// <summary>A secret that all ranks know; set by <c>launch</c>.</summary>
    public const string SecretVariable = "HYDRAGEN_GROUP_SECRET";

    /// <summary>Seconds that ranks wait for one another.</summary>
    public const string JoinVariable = "HYDRAGEN_JOIN_SECONDS";

    /// <summary>The process that <c>launch</c> runs in, without which its ranks end.</summary>
    public const string LaunchedVariable = "HYDRAGEN_LAUNCHED";

    private static readonly TimeSpan UnwindTime = TimeSpan.FromSeconds(2), ExitTime = TimeSpan.FromSeconds(1), WatchTime = TimeSpan.FromSeconds(1);
    private static SocketRankGroup? _group;
    private static volatile bool _hasSaidWhy;

    /// <summary>Whether another process is rank 0, reads the input and writes the output.</summary>
    public static bool IsOther
    {
        get
        {
            try
            {
                return RankEnvironment.Read() is { Rank: > 0 };
            }
            catch (ArgumentException)
            {
                return false; // Said where the model is loaded.
            }
        }
    }

    /// <summary>Processes that compute together; 1 for this one alone.</summary>
    /// <exception cref="ArgumentException">The launcher's variables are malformed.</exception>
    public static int NumRanks => RankEnvironment.Read()?.Size ?? 1;

    private static string? Failure => _group?.Failure;

    /// <summary>What to tell the user about an exception: what fails once another rank is gone says less than that it is gone.</summary>
    public static string Explain(Exception exception)
    {
        _hasSaidWhy = true;
        return exception is RankGroupException || Failure is not { } failure || failure.EndsWith(exception.Message, StringComparison.Ordinal)
            ? exception.Message : failure;
    }

    /// <summary>The GPU of this process.</summary>
    /// <exception cref="ArgumentException">The launcher's variables are malformed.</exception>
    public static int DeviceIndex
    {
        get
        {
            // A launcher may show every rank its own GPU only.
            int localRank = RankEnvironment.Read()?.LocalRank ?? 0;
            return localRank > 0 && CudaEnvironment.Probe().Devices.Count == 1 ? 0 : localRank;
        }
    }

    /// <summary>Threads for each of the ranks that share a processor; null leaves it to the backend.</summary>
    public static int? NumThreads(int? asked) =>
        asked is null && RankEnvironment.Read() is { } ranks ? Math.Max(1, Environment.ProcessorCount / ranks.Size) : asked;

    /// <summary>Ends this process when the one that launched it is gone.</summary>
    public static void WatchLauncher()
    {
        if (!int.TryParse(Environment.GetEnvironmentVariable(LaunchedVariable), NumberStyles.None, CultureInfo.InvariantCulture, out int launcher)) return;
        new Thread(() =>
        {
            while (RankProcess.Parent() == launcher) Thread.Sleep(WatchTime);
            Environment.Exit(ExitCode.Failure);
        })
        { IsBackground = true, Name = "Hydragen launcher" }.Start();
    }

    /// <summary>Loads a model; with the other ranks, when there are some, after they have met.</summary>
    /// <param name="options">How to load it; its backend is set.</param>
    /// <param name="load">Loads it.</param>
    /// <param name="cancellationToken">Ends the wait for the others.</param>
    /// <exception cref="RankServedException">This is not rank 0, and rank 0 is done.</exception>
    public static async Task<LanguageModel> LoadAsync(
        LanguageModelOptions options, Func<LanguageModelOptions, Task<LanguageModel>> load, CancellationToken cancellationToken)
    {
        if (RankEnvironment.Read() is not { } ranks) return await load(options);
        IRankGroup group = await JoinAsync(ranks, options.Backend!, cancellationToken);
        LanguageModel model = await load(options with { Group = group, OwnsGroup = true });
        if (group.Rank == 0) return model;
        await using (model) await model.ServeAsync();
        throw new RankServedException();
    }

    private static async Task<IRankGroup> JoinAsync(RankEnvironment ranks, IComputeBackend backend, CancellationToken cancellationToken)
    {
        var options = new RankGroupOptions { Secret = Environment.GetEnvironmentVariable(SecretVariable) ?? "" };
        if (Environment.GetEnvironmentVariable(JoinVariable) is { Length: > 0 } text)
        {
            if (!double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double seconds) || !(seconds is > 0 and < 1e6))
                throw new ArgumentException($"{JoinVariable} is '{text}'; it must be a number of seconds above 0.");
            options = options with { JoinTimeout = TimeSpan.FromSeconds(seconds) };
        }
        _group = await SocketRankGroup.JoinAsync(ranks, options, cancellationToken);
        _group.Failed.Register(() => new Thread(Leave) { IsBackground = true }.Start());
        if (backend is not CudaBackend gpu) return _group;
        try
        {
            return new NcclRankGroup(gpu, _group);
        }
        catch (Exception exception)
        {
            _group.Fail(exception.Message);
            throw;
        }
    }

    /// <summary>Ends this process even if its work hangs in a call that waits for a rank that is gone.</summary>
    private static void Leave()
    {
        Thread.Sleep(UnwindTime);
        if (!_hasSaidWhy) Console.Error.WriteLine($"hydragen: {Failure}");
        new Thread(() =>
        {
            Thread.Sleep(ExitTime);
            Process.GetCurrentProcess().Kill();
        })
        { IsBackground = true }.Start();
        Environment.Exit(ExitCode.Failure);
    }
}
