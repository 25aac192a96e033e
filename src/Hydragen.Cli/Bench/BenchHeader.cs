using System.Globalization;
using System.Reflection;
using System.Runtime.InteropServices;
using Hydragen.Cli.Output;
using Hydragen.Core;
using Hydragen.Cpu;

namespace Hydragen.Cli.Bench;

/// <summary>What a result must be read with: the command, the machine, the versions and the ceilings of the processor, when that computes.</summary>
internal sealed record BenchHeader(string Command, Machine Machine, IComputeBackend Backend, Ceilings? Ceilings)
{
    private static string Version =>
        typeof(BenchHeader).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";

    public void WriteNotes(Terminal terminal)
    {
        terminal.Note($"{Machine.Processor}, {Environment.ProcessorCount} processors, {Backend.Description}");
        if (Ceilings is null) return;
        terminal.Note($"Ceilings with all threads: {Describe(Ceilings)}");
        if (Ceilings.ProcessorShare < MachineState.QuietShare)
            terminal.Note(string.Create(CultureInfo.InvariantCulture, $"Other programs compute: the ceilings were measured with {Ceilings.ProcessorShare:0 %} of the processors and are too low."));
    }

    /// <summary>Compares the ceilings with those measured after everything else.</summary>
    public void WriteEnd(Terminal terminal, JsonLines? output, Ceilings? atEnd)
    {
        if (atEnd is null || Ceilings is null)
        {
            output?.Write(json => json.WriteString("type", "end"));
            return;
        }
        if (!atEnd.IsLike(Ceilings))
            terminal.Note($"The machine was noisy: ceilings at the end are {Describe(atEnd)}. Shares above are of those at the start.");
        output?.Write(json =>
        {
            json.WriteString("type", "end");
            json.WriteCeilings(atEnd);
            json.WriteBoolean("noisy", !atEnd.IsLike(Ceilings));
        });
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
        if (Ceilings is not null) json.WriteCeilings(Ceilings);
    });

    private static string Describe(Ceilings ceilings) => string.Create(CultureInfo.InvariantCulture,
        $"{ceilings.FmaGflops:0} GFLOP/s FP32 ({ceilings.NumLanes} lanes), {ceilings.BFloat16Gflops:0} GFLOP/s BF16 ({ceilings.BFloat16Unit}), memory reads {ceilings.ReadGigabytes:0.0} GB/s in one stream a thread, {ceilings.StreamsReadGigabytes:0.0} GB/s in {ProbeKernels.NumStreams}");
}
