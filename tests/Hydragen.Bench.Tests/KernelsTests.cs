using System.Diagnostics;
using System.Text.Json;

namespace Hydragen.Bench.Tests;

/// <summary>The program that measures operators alone.</summary>
public sealed class KernelsTests
{
    private static string Executable => Path.Combine(AppContext.BaseDirectory, OperatingSystem.IsWindows() ? "Hydragen.Kernels.exe" : "Hydragen.Kernels");

    [Fact]
    public async Task Every_point_gives_a_row_and_a_line_with_shares_of_a_peak_measured_beside_it()
    {
        string path = Path.Combine(Path.GetTempPath(), $"hydragen-kernels-{Guid.NewGuid():N}.jsonl");
        try
        {
            (int exitCode, string output, string error) = await RunAsync("prefix", "--rows", "4,8", "--keys", "65", "--rounds", "2", "--json", path);
            Assert.True(exitCode == 0, error);
            Assert.Equal(2 + 2, output.Split('\n').Count(line => line.StartsWith('|')));
            JsonElement[] lines = [.. (await File.ReadAllLinesAsync(path, TestContext.Current.CancellationToken)).Select(line => JsonDocument.Parse(line).RootElement)];
            Assert.Equal("header", lines[0].GetProperty("type").GetString());
            Assert.Equal((string[])["4 65", "8 65"], lines[1..].Select(line => $"{line.GetProperty("rows").GetInt32()} {line.GetProperty("keys").GetInt32()}"));
            foreach (JsonElement line in lines[1..])
            {
                Assert.Equal(1, line.GetProperty("threads").GetInt32());
                Assert.Equal(2, line.GetProperty("samples_ms").GetArrayLength());
                double[] shares = new double[2];
                for (int i = 0; i < 2; i++)
                {
                    double flop = 4.0 * line.GetProperty("rows").GetInt32() * 65 * 128;
                    shares[i] = flop / line.GetProperty("samples_ms")[i].GetDouble() / 1e6 / line.GetProperty("peak_gflops")[i].GetDouble();
                }
                Assert.Equal(shares.Average(), line.GetProperty("share_of_peak").GetProperty("median").GetDouble(), 1e-9);
            }
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Theory]
    [InlineData("must be ladder, prefix, suffix, linear, pool", "nothing")]
    [InlineData("There is no option '--fast'", "prefix", "--fast", "1")]
    [InlineData("lacks its value", "prefix", "--rows")]
    [InlineData("--rounds takes numbers from 1", "linear", "--rounds", "0")]
    [InlineData("multiples of 4", "prefix", "--rows", "64,6")]
    [InlineData("does not exist; use one of", "suffix", "--isa", "mmx")]
    public async Task Bad_values_are_refused(string part, params string[] arguments)
    {
        (int exitCode, _, string error) = await RunAsync(arguments);
        Assert.Equal(2, exitCode);
        Assert.Contains(part, error, StringComparison.Ordinal);
    }

    private static async Task<(int ExitCode, string Output, string Error)> RunAsync(params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(Executable, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        Task<string> output = process.StandardOutput.ReadToEndAsync(), error = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        return (process.ExitCode, await output, await error);
    }
}
