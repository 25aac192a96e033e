using System.Globalization;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text.Json;
using Hydragen.Cli.Output;
using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>What a result must be read with: the command, the machine, the versions and the ceilings.</summary>
internal sealed record BenchHeader(string Command, Machine Machine, IAttentionBackend Backend, ICeilings Ceilings)
{
    /// <summary>Versions of what a device needs besides this program; null when nothing.</summary>
    public string? Software { get; init; }

    /// <summary>Processes that computed together; the backend and its ceilings are those of the first.</summary>
    public int NumRanks { get; init; } = 1;

    /// <summary>How they exchanged numbers; null for one, or before they have met.</summary>
    public string? Ranks { get; init; }

    /// <summary>Writes what every row depends on; null when the command says it all.</summary>
    public Action<Utf8JsonWriter>? WriteSettings { get; init; }

    /// <summary>Version and commit of this program.</summary>
    public static string Version =>
        typeof(BenchHeader).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";

    public void WriteNotes(Terminal terminal)
    {
        terminal.Note($"{Machine.Processor}, {Environment.ProcessorCount} processors, {Backend.Description}{(NumRanks > 1 ? $"; {Ranks ?? $"{NumRanks} ranks"}" : "")}");
        terminal.Note($"Ceilings: {Ceilings.Description}");
        if (Ceilings.Warning is { } warning) terminal.Note(warning);
    }

    /// <summary>Compares the ceilings with those measured after everything else.</summary>
    public void WriteEnd(Terminal terminal, IEnumerable<JsonLines> outputs, ICeilings atEnd)
    {
        if (!atEnd.IsLike(Ceilings))
            terminal.Note($"The machine was noisy: ceilings at the end are {atEnd.Description}. Shares above are of those at the start.");
        foreach (JsonLines output in outputs)
        {
            output.Write(json =>
            {
                json.WriteString("type", "end");
                json.WriteCeilings(atEnd);
                json.WriteBoolean("noisy", !atEnd.IsLike(Ceilings));
            });
        }
    }

    public void WriteJson(JsonLines output) => output.Write(json =>
    {
        json.WriteString("type", "header");
        json.WriteString("command", Command);
        json.WriteString("date", DateTime.UtcNow.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture));
        json.WriteString("version", Version);
        json.WriteString("runtime", RuntimeInformation.FrameworkDescription);
        json.WriteString("system", Machine.System);
        json.WriteString("processor", Machine.Processor);
        json.WriteNumber("processors", Environment.ProcessorCount);
        json.WriteNumber("last_level_cache_bytes", Machine.LastLevelCacheBytes);
        json.WriteNumber("memory_bytes", GC.GetGCMemoryInfo().TotalAvailableMemoryBytes);
        json.WriteString("backend", Backend.Description);
        json.WriteNumber("ranks", NumRanks);
        if (Ranks is not null) json.WriteString("rank_group", Ranks);
        if (Software is not null) json.WriteString("software", Software);
        json.WriteCeilings(Ceilings);
        if (WriteSettings is null) return;
        json.WriteStartObject("settings");
        WriteSettings(json);
        json.WriteEndObject();
    });
}
