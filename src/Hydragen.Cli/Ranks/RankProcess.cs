using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;

namespace Hydragen.Cli.Ranks;

/// <summary>One rank that <c>launch</c> started on this host.</summary>
internal sealed partial class RankProcess : IDisposable
{
    private const int SignalledFrom = 128, InterruptSignal = 2;
    private readonly Process _process;
    private readonly Queue<(long Time, string Line)> _lines = new();

    /// <param name="rank">Which rank.</param>
    /// <param name="size">Of how many.</param>
    /// <param name="port">Where rank 0 waits for the others.</param>
    /// <param name="secret">What all ranks know.</param>
    /// <param name="args">The command line of every rank.</param>
    public RankProcess(int rank, int size, int port, string secret, IReadOnlyList<string> args)
    {
        Rank = rank;
        string program = Environment.ProcessPath!;
        bool isHost = Path.GetFileNameWithoutExtension(program) == "dotnet";
        var start = new ProcessStartInfo(program, isHost ? [Environment.GetCommandLineArgs()[0], .. args] : args)
        {
            // Rank 0 has the streams of this process; nobody reads or writes those of the others.
            RedirectStandardInput = rank > 0,
            RedirectStandardOutput = rank > 0,
            RedirectStandardError = rank > 0,
        };
        foreach ((string name, string value) in (ReadOnlySpan<(string, string)>)[
            ("RANK", rank.ToString(CultureInfo.InvariantCulture)), ("WORLD_SIZE", size.ToString(CultureInfo.InvariantCulture)),
            ("LOCAL_RANK", rank.ToString(CultureInfo.InvariantCulture)), ("MASTER_ADDR", "127.0.0.1"),
            ("MASTER_PORT", port.ToString(CultureInfo.InvariantCulture)), (RankSession.SecretVariable, secret), (RankSession.LaunchedVariable, Environment.ProcessId.ToString(CultureInfo.InvariantCulture))])
            start.Environment[name] = value;
        start.Environment.Remove("TORCHELASTIC_USE_AGENT_STORE");
        _process = Process.Start(start)!;
        if (rank == 0) return;
        _process.StandardInput.Close();
        _process.OutputDataReceived += static (_, _) => { };
        _process.ErrorDataReceived += (_, line) =>
        {
            if (line.Data is null) return;
            lock (_lines) _lines.Enqueue((Environment.TickCount64, line.Data));
        };
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    public int Rank { get; }

    public bool HasExited => _process.HasExited;

    public int ExitCode => _process.ExitCode;

    public DateTime ExitTime => _process.ExitTime;

    /// <summary>The signal that killed it, or null.</summary>
    public int? Signal => HasExited && ExitCode > SignalledFrom && ExitCode != Cli.ExitCode.Cancelled ? ExitCode - SignalledFrom : null;

    /// <summary>Takes what it wrote to standard error before some time.</summary>
    public List<string> TakeLines(long before)
    {
        var taken = new List<string>();
        lock (_lines)
        {
            while (_lines.TryPeek(out (long Time, string Line) next) && next.Time <= before) taken.Add(_lines.Dequeue().Line);
        }
        return taken;
    }

    /// <summary>Waits until all that it wrote has been read; it has exited.</summary>
    public void WaitForLines() => _process.WaitForExit();

    /// <summary>Asks it to stop, like a key does.</summary>
    public void Interrupt()
    {
        if (!HasExited) _ = Kill(_process.Id, InterruptSignal);
    }

    /// <summary>Ends it and what it started.</summary>
    public void Kill()
    {
        try
        {
            if (!HasExited) _process.Kill(entireProcessTree: true);
        }
        catch (InvalidOperationException)
        {
            // It exited meanwhile.
        }
    }

    public void Dispose() => _process.Dispose();

    /// <summary>The process that started this one, or the one that took it over when that ended.</summary>
    [LibraryImport("libc", EntryPoint = "getppid")]
    public static partial int Parent();

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int process, int signal);
}
