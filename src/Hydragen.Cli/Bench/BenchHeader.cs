using System.Globalization;
using System.Reflection;
using System.Runtime.InteropServices;
using Hydragen.Cli.Output;
using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>What a result must be read with: the command, the machine, the versions and the ceilings.</summary>
internal sealed record BenchHeader(string Command, Machine Machine, IComputeBackend Backend, Ceilings Ceilings)
{
    private static string Version =>
        typeof(BenchHeader).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";

    public void WriteNotes(Terminal terminal)
    {
        terminal.Note($"{Machine.Processor}, {Environment.ProcessorCount} processors, {Backend.Description}");
        terminal.Note(string.Create(CultureInfo.InvariantCulture,
            $"Ceilings with all threads: {Ceilings.FmaGflops:0} GFLOP/s FP32 ({Ceilings.NumLanes} lanes), memory reads {Ceilings.ReadGigabytes:0.0} GB/s in one stream a thread, {Ceilings.StreamsReadGigabytes:0.0} GB/s in {ProbeKernels.NumStreams}"));
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
        json.WriteStartObject("ceilings");
        json.WriteNumber("fma_gflops", Ceilings.FmaGflops);
        json.WriteNumber("fma_from_l1_gflops", Ceilings.FedFmaGflops);
        json.WriteNumber("read_gbps", Ceilings.ReadGigabytes);
        json.WriteNumber("read_streams_gbps", Ceilings.StreamsReadGigabytes);
        json.WriteNumber("read_buffer_bytes", Ceilings.BufferBytes);
        json.WriteEndObject();
    });
}
