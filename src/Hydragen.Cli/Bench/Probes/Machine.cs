using System.Globalization;
using System.Runtime.InteropServices;

namespace Hydragen.Cli.Bench;

/// <summary>Facts about the machine that a measurement should be read with.</summary>
/// <param name="Processor">Model name of the processor.</param>
/// <param name="LastLevelCacheBytes">All caches of the last level together; a guess where the system does not tell.</param>
internal sealed record Machine(string Processor, long LastLevelCacheBytes)
{
    private const long CacheGuess = 64L << 20;

    /// <summary>This machine.</summary>
    public static Machine Current { get; } = new(ReadProcessor(), ReadCacheBytes() ?? CacheGuess);

    /// <summary>System and architecture.</summary>
    public static string System => $"{RuntimeInformation.OSDescription.Trim()}, {RuntimeInformation.ProcessArchitecture}";

    private static string ReadProcessor()
    {
        const string Linux = "/proc/cpuinfo";
        if (OperatingSystem.IsLinux() && File.Exists(Linux))
        {
            string? line = File.ReadLines(Linux).FirstOrDefault(line => line.StartsWith("model name", StringComparison.Ordinal));
            if (line is not null) return line[(line.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim();
        }
        return Environment.GetEnvironmentVariable("PROCESSOR_IDENTIFIER") ?? RuntimeInformation.ProcessArchitecture.ToString();
    }

    private static long? ReadCacheBytes()
    {
        const string Folder = "/sys/devices/system/cpu";
        if (!OperatingSystem.IsLinux() || !Directory.Exists(Folder)) return null;
        var caches = new Dictionary<string, long>();
        foreach (string processor in Directory.EnumerateDirectories(Folder, "cpu*"))
        {
            string cache = Path.Combine(processor, "cache", "index3");
            if (ReadLine(cache, "shared_cpu_list") is not { } sharedBy || ReadLine(cache, "size") is not { } size) continue;
            if (size.EndsWith('K') && long.TryParse(size[..^1], NumberStyles.None, CultureInfo.InvariantCulture, out long kibibytes))
                caches[sharedBy] = kibibytes << 10;
        }
        return caches.Count > 0 ? caches.Values.Sum() : null;
    }

    private static string? ReadLine(string folder, string file)
    {
        string path = Path.Combine(folder, file);
        return File.Exists(path) ? File.ReadLines(path).FirstOrDefault()?.Trim() : null;
    }
}
