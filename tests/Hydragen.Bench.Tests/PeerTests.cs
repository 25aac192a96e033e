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

    [Fact]
    public async Task On_a_gpu_the_best_variant_stands_beside_ours_and_what_was_measured_elsewhere()
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("hydragen-peers-");
        try
        {
            const string What = "\"batch\":64,\"prefix\":1024,\"generated\":512,\"heads\":32,\"kv_heads\":32";
            double[] ours = [0.1, 0.05], slow = [0.4, 0.4], fast = [0.2, 0.2];
            for (int round = 0; round < 2; round++)
            {
                string path = Path.Combine(folder.FullName, $"published.{round + 9}");
                await File.WriteAllTextAsync($"{path}.ours.jsonl", FormattableString.Invariant(
                    $$"""
                    {"type":"header","backend":"a GPU"}
                    {"type":"attention",{{What}},"mode":"nodes","ms":{"median":1},"gflops":500000,"gbps":1}
                    {"type":"attention",{{What}},"mode":"sequences","ms":{"median":1},"gflops":1,"gbps":4250}
                    {"type":"published",{{What}},"mode":"hydragen","step_ms":{{ours[round]}},"limit_ms":0.064}
                    """), TestContext.Current.CancellationToken);
                await File.WriteAllTextAsync($"{path}.pytorch.jsonl", FormattableString.Invariant(
                    $$"""
                    {"type":"header","version":"2"}
                    {"type":"agreement",{{What}},"max_error":0.001}
                    {"type":"published",{{What}},"mode":"decomposed","variant":"slow","step_ms":{{slow[round]}}}
                    {"type":"published",{{What}},"mode":"decomposed","variant":"fast","step_ms":{{fast[round]}}}
                    {"type":"published",{{What}},"mode":"copied","variant":"flash","skipped":"out of memory"}
                    {"type":"parts",{{What}},"variant":"flash","prefix_tflops":300,"suffix_tbps":3.5}
                    """), TestContext.Current.CancellationToken);
            }
            string output = await CompareAsync(folder.FullName, "cuda");
            Assert.Contains("| 64 | 1024 | 512 | 32/32 | 75.0 | 64.0 | fast | 200.0 | 3.00 (2.00–4.00) |  |  |  | 130 | 1.73 | 158 |", output, StringComparison.Ordinal);
            Assert.Contains("× ours, fa3_cascade: geometric mean 1.73, least 1.73, of 1 configurations.", output, StringComparison.Ordinal);
            Assert.Contains("| 64 | 1024 | 512 | 32/32 | 500 | 300 | 4.25 | 3.50 |", output, StringComparison.Ordinal);
            Assert.Contains("at most 1.0e-03", output, StringComparison.Ordinal);
            Assert.Contains("copied flash: out of memory", output, StringComparison.Ordinal);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static async Task<string> CompareAsync(string folder, string device = "cpu")
    {
        DirectoryInfo root = new(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(root.FullName, "Hydragen.slnx"))) root = root.Parent!;
        var start = new ProcessStartInfo("python3", [Path.Combine(root.FullName, "bench", "peers", device, "compare.py"), folder])
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
