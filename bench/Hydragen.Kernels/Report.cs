using System.Globalization;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text.Json;
using Hydragen.Cli.Bench;
using Hydragen.Cli.Output;
using Hydragen.Core;

namespace Hydragen.Kernels;

/// <summary>Where results go: Markdown to standard output, JSON Lines to a file if there is one.</summary>
internal sealed class Report : IDisposable
{
    private readonly FileStream? _file;
    private readonly JsonLines? _json;

    private static string Version =>
        typeof(Report).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";

    /// <summary>Creates the file and writes who measures what, and where.</summary>
    public Report(Settings settings)
    {
        Console.WriteLine($"`{settings.CommandLine}`, version {Version}, {Machine.Current.Processor}, {Environment.ProcessorCount} processors, {RuntimeInformation.FrameworkDescription}, {Machine.System}");
        if (settings.JsonPath is null) return;
        _file = File.Create(settings.JsonPath);
        _json = new JsonLines(_file);
        Write("header", json =>
        {
            json.WriteString("command", settings.CommandLine);
            json.WriteString("date", DateTime.UtcNow.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture));
            json.WriteString("version", Version);
            json.WriteString("runtime", RuntimeInformation.FrameworkDescription);
            json.WriteString("system", Machine.System);
            json.WriteString("processor", Machine.Current.Processor);
            json.WriteNumber("processors", Environment.ProcessorCount);
            json.WriteNumber("last_level_cache_bytes", Machine.Current.LastLevelCacheBytes);
        });
    }

    /// <summary>Begins a table.</summary>
    public static void Begin(string caption, params IReadOnlyList<string> titles)
    {
        Console.WriteLine($"\n{caption}\n");
        WriteRow(titles);
        Console.WriteLine($"|{string.Concat(titles.Select((_, i) => i == 0 ? "---|" : "---:|"))}");
    }

    /// <summary>Adds a row to the table.</summary>
    public static void WriteRow(params IReadOnlyList<string> cells) => Console.WriteLine($"| {string.Join(" | ", cells)} |");

    /// <summary>Median and range in a table.</summary>
    public static string Text(Spread spread, string format) =>
        $"{spread.Median.ToString(format, CultureInfo.InvariantCulture)} ({spread.Min.ToString(format, CultureInfo.InvariantCulture)}–{spread.Max.ToString(format, CultureInfo.InvariantCulture)})";

    /// <summary>Writes a JSON line, if there is a file.</summary>
    public void Write(string type, Action<Utf8JsonWriter> write) => _json?.Write(json =>
    {
        json.WriteString("type", type);
        write(json);
    });

    /// <summary>So many data sets that all together are twice as large as the last cache.</summary>
    public static int CountSets(long bytesPerSet) => (int)Math.Max(1, (2 * Machine.Current.LastLevelCacheBytes + bytesPerSet - 1) / bytesPerSet);

    /// <summary>What the lines of all measurements of one backend begin with.</summary>
    public static void WriteBackend(Utf8JsonWriter json, IComputeBackend backend, int numThreads)
    {
        json.WriteString("instruction_set", backend.Kernels[0].Kernel);
        json.WriteNumber("threads", numThreads);
    }

    public void Dispose() => _file?.Dispose();
}
