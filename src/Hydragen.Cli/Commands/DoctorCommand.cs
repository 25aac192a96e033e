using System.CommandLine;
using System.Runtime.InteropServices;
using Hydragen.Cli.Output;
using Hydragen.Core;
using Hydragen.Cpu;

namespace Hydragen.Cli.Commands;

/// <summary>Says what the machine offers and which kernels run on it.</summary>
internal static class DoctorCommand
{
    public static Command Create()
    {
        var command = new Command("doctor", "Show the machine, the instruction sets found, the kernels chosen and why, and the memory.");
        var json = new Option<bool>("--json") { Description = "Print one JSON line to standard output." };
        command.Options.Add(json);
        command.Handle((parsed, _) =>
        {
            using var backend = new CpuBackend();
            GCMemoryInfo memory = GC.GetGCMemoryInfo();
            if (parsed.GetValue(json)) WriteJson(backend, memory.TotalAvailableMemoryBytes);
            else WriteText(backend, memory.TotalAvailableMemoryBytes);
            return Task.CompletedTask;
        });
        return command;
    }

    private static void WriteText(CpuBackend backend, long memoryBytes)
    {
        Console.WriteLine($"machine   {RuntimeInformation.OSDescription.Trim()}, {RuntimeInformation.ProcessArchitecture}, {Environment.ProcessorCount} processors");
        Console.WriteLine($"runtime   {RuntimeInformation.FrameworkDescription}");
        Console.WriteLine($"memory    {StatisticsTable.Mebibytes(memoryBytes)} available; KV memory uses half of it unless --max-kv-memory says otherwise");
        Console.WriteLine($"backend   {backend.Description}");
        foreach (KernelChoice kernel in backend.Kernels) Console.WriteLine($"kernel    {kernel.Operation}: {kernel.Kernel} ({kernel.Reason})");
        string model = Directory.Exists(ModelArguments.EmbeddedModelPath) ? ModelArguments.EmbeddedModelPath : "missing";
        Console.WriteLine($"model     embedded: {model}");
    }

    private static void WriteJson(CpuBackend backend, long memoryBytes)
    {
        using var output = new JsonLines();
        output.Write(json =>
        {
            json.WriteString("os", RuntimeInformation.OSDescription.Trim());
            json.WriteString("architecture", RuntimeInformation.ProcessArchitecture.ToString());
            json.WriteNumber("processors", Environment.ProcessorCount);
            json.WriteString("runtime", RuntimeInformation.FrameworkDescription);
            json.WriteNumber("memory_bytes", memoryBytes);
            json.WriteString("backend", backend.Description);
            json.WriteStartArray("kernels");
            foreach (KernelChoice kernel in backend.Kernels)
            {
                json.WriteStartObject();
                json.WriteString("operation", kernel.Operation);
                json.WriteString("kernel", kernel.Kernel);
                json.WriteString("reason", kernel.Reason);
                json.WriteEndObject();
            }
            json.WriteEndArray();
        });
    }
}
