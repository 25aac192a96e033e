using System.Diagnostics;

namespace Hydragen.Bench.Tests;

/// <summary>The table in which measurements of others are set against ours.</summary>
public sealed class PeerTests
{
    [Fact]
    public async Task Ratios_are_medians_over_rounds_and_the_fastest_variant_is_the_best()
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("hydragen-peers-");
        try
        {
            double[] ours = [1, 2, 4], slow = [8, 10, 20], fast = [3, 6, 4];
            for (int round = 0; round < 3; round++)
            {
                string path = Path.Combine(folder.FullName, $"linear.{round + 9}");
                await File.WriteAllTextAsync($"{path}.ours.jsonl", Lines(("", ours[round])), TestContext.Current.CancellationToken);
                await File.WriteAllTextAsync($"{path}.pytorch.jsonl", Lines(("slow", slow[round]), ("fast", fast[round])), TestContext.Current.CancellationToken);
            }
            string output = await CompareAsync(folder.FullName);
            Assert.Contains("| 8 | 2.000 (1.000–4.000) | slow | 10.000 (8.000–20.000) | 5.00 (5.00–8.00) |  |", output, StringComparison.Ordinal);
            Assert.Contains("| 8 | 2.000 (1.000–4.000) | fast | 4.000 (3.000–6.000) | 3.00 (1.00–3.00) | best |", output, StringComparison.Ordinal);
        }
        finally
        {
            folder.Delete(recursive: true);
        }

        static string Lines(params (string Variant, double Milliseconds)[] lines) => string.Concat(lines.Select(line => FormattableString.Invariant(
            $"{{\"type\":\"linear\",\"variant\":\"{line.Variant}\",\"rows\":8,\"ms\":{{\"median\":{line.Milliseconds}}}}}\n")));
    }

    private static async Task<string> CompareAsync(string folder)
    {
        DirectoryInfo root = new(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(root.FullName, "Hydragen.slnx"))) root = root.Parent!;
        var start = new ProcessStartInfo("python3", [Path.Combine(root.FullName, "bench", "peers", "cpu", "compare.py"), folder])
        {
            RedirectStandardOutput = true,
            Environment = { ["PYTHONIOENCODING"] = "utf-8" },
        };
        Process process;
        try
        {
            process = Process.Start(start)!;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            Assert.Skip("There is no python3.");
            throw;
        }
        using (process)
        {
            string output = await process.StandardOutput.ReadToEndAsync();
            await process.WaitForExitAsync();
            Assert.Equal(0, process.ExitCode);
            return output;
        }
    }
}
