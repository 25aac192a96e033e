using System.Globalization;
using System.Text;
using System.Text.Json;
using Hydragen.Cli.Output;

namespace Hydragen.Cli.Tests;

/// <summary>Runs the command line inside the test process, over streams of its own.</summary>
internal static class Cli
{
    public static string EmbeddedModel { get; } = Path.Combine(AppContext.BaseDirectory, "EmbeddedModel");

    public static Task<CliResult> RunAsync(params string[] args) => RunWithInputAsync("", args);

    public static Task<CliResult> RunWithInputAsync(string input, params string[] args) => RunWithInputAsync(Encoding.UTF8.GetBytes(input), args);

    public static async Task<CliResult> RunWithInputAsync(byte[] input, params string[] args)
    {
        using MemoryStream output = new();
        using StringWriter error = new(CultureInfo.InvariantCulture);
        int exitCode = await CommandLine.InvokeAsync(
            args, Terminal.Over(new MemoryStream(input), output, error), TestContext.Current.CancellationToken);
        return new CliResult(exitCode, Encoding.UTF8.GetString(output.ToArray()), error.ToString());
    }

    /// <summary>Greedy completions of the embedded model.</summary>
    public static Task<CliResult> GenerateAsync(params string[] args) =>
        RunAsync(["generate", "--model", EmbeddedModel, "--temperature", "0", .. args]);
}

/// <summary>What a run left behind.</summary>
internal sealed record CliResult(int ExitCode, string Output, string Error)
{
    /// <summary>The lines of standard output, each of which must be a JSON object.</summary>
    public JsonElement[] Lines
    {
        get
        {
            AssertSuccess();
            return [.. Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonDocument.Parse(line).RootElement)];
        }
    }

    public void AssertSuccess()
    {
        Assert.True(ExitCode == 0, Error);
        Assert.DoesNotContain("hydragen:", Error, StringComparison.Ordinal);
    }

    /// <summary>Bad input gives exit code 2 and one line that holds all of <paramref name="parts"/>; no stack trace, nothing on standard output.</summary>
    public void AssertBadInput(params string[] parts)
    {
        Assert.True(ExitCode == 2, $"exit code {ExitCode}: {Error}{Output}");
        Assert.Empty(Output);
        Assert.StartsWith("hydragen: ", Error, StringComparison.Ordinal);
        Assert.Equal(1, Error.Count(c => c == '\n'));
        Assert.EndsWith("\n", Error, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", Error, StringComparison.Ordinal);
        Assert.DoesNotContain("(Parameter", Error, StringComparison.Ordinal);
        Assert.DoesNotContain("System.", Error, StringComparison.Ordinal);
        foreach (string part in parts) Assert.Contains(part, Error, StringComparison.Ordinal);
    }
}
