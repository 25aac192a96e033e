using System.Globalization;
using System.Text;
using System.Text.Json;
using Hydragen.Cli;
using Hydragen.Cli.Output;

namespace Hydragen.Bench.Tests;

/// <summary>What one run of <c>hydragen bench</c> inside the test process left behind.</summary>
internal sealed record BenchRun(int ExitCode, string Output, string Error)
{
    public static Task<BenchRun> RunAsync(string arguments, CancellationToken cancellationToken = default) =>
        RunAsync(arguments, new MemoryStream(), cancellationToken);

    /// <summary>Runs until a text was written to standard output, and cancels then.</summary>
    public static async Task<BenchRun> RunUntilAsync(string text, string arguments)
    {
        using CancellationTokenSource source = new();
        return await RunAsync(arguments, new WatchedStream(text, source.Cancel), source.Token);
    }

    private static async Task<BenchRun> RunAsync(string arguments, MemoryStream output, CancellationToken cancellationToken)
    {
        using MemoryStream _ = output;
        using StringWriter error = new(CultureInfo.InvariantCulture);
        int exitCode = await CommandLine.InvokeAsync(
            ["bench", .. arguments.Split(' ')], Terminal.Over(Stream.Null, output, error), cancellationToken);
        return new BenchRun(exitCode, Encoding.UTF8.GetString(output.ToArray()), error.ToString());
    }

    /// <summary>The lines of standard output.</summary>
    public JsonElement[] Lines
    {
        get
        {
            Assert.True(ExitCode == 0, Error);
            return [.. Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonDocument.Parse(line).RootElement)];
        }
    }

    public void AssertBadInput(params string[] parts)
    {
        Assert.True(ExitCode == 2, $"exit code {ExitCode}: {Error}");
        Assert.Empty(Output);
        Assert.Equal(1, Error.Count(c => c == '\n'));
        foreach (string part in parts) Assert.Contains(part, Error, StringComparison.Ordinal);
    }

    /// <summary>Calls somebody as soon as a text has been written whole.</summary>
    private sealed class WatchedStream(string text, Action onText) : MemoryStream
    {
        // A stream of another class than MemoryStream writes spans this way too.
        public override void Write(byte[] buffer, int offset, int count)
        {
            base.Write(buffer, offset, count);
            if (Encoding.UTF8.GetString(ToArray()).Contains(text, StringComparison.Ordinal)) onText();
        }
    }
}
