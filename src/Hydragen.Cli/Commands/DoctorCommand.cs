using System.CommandLine;
using System.Runtime.InteropServices;
using System.Text.Json;
using Hydragen.Cli.Output;
using Hydragen.Core;
using Hydragen.Cpu;
using Hydragen.Cuda;

namespace Hydragen.Cli.Commands;

/// <summary>Says what the machine offers and which kernels run on it.</summary>
internal static class DoctorCommand
{
    private const string Details = """
        The environment variable HYDRAGEN_CPU_ISA forces an instruction set, HYDRAGEN_CUDA_KERNEL the kernels of a GPU;
        HYDRAGEN_NVRTC names the file of NVRTC, CUDA's run-time compiler, HYDRAGEN_CUBLASLT that of its matrix products,
        and HYDRAGEN_NCCL that of NCCL, which connects several GPUs, where they are not found by themselves.
        """;

    public static Command Create(Terminal terminal)
    {
        var command = new Verb("doctor", "Show the machine, the kernels chosen and why, and the memory.", Details);
        var json = new Option<bool>("--json") { Description = "Print one JSON line to standard output." };
        Option<int?> threads = ModelArguments.MakeThreads();
        command.Options.Add(json);
        command.Options.Add(threads);
        command.Handle(terminal, (parsed, _) =>
        {
            int numThreads = parsed.GetValue(threads) ?? Environment.ProcessorCount;
            using var backend = new CpuBackend(new CpuOptions { NumThreads = numThreads });
            GCMemoryInfo memory = GC.GetGCMemoryInfo();
            CudaEnvironment cuda = CudaEnvironment.Probe();
            // A name that does not exist is refused before anything is written, also where there is no GPU.
            KernelSet? forced = KernelSet.Forced;
            if (parsed.GetValue(json)) WriteJson(terminal, backend, numThreads, cuda, forced, memory.TotalAvailableMemoryBytes);
            else WriteText(terminal, backend, cuda, forced, memory.TotalAvailableMemoryBytes);
            return Task.CompletedTask;
        });
        return command;
    }

    private static void WriteText(Terminal terminal, CpuBackend backend, CudaEnvironment cuda, KernelSet? forced, long memoryBytes)
    {
        using var output = new StreamWriter(terminal.Output, leaveOpen: true);
        output.WriteLine($"machine   {RuntimeInformation.OSDescription.Trim()}, {RuntimeInformation.ProcessArchitecture}, {Environment.ProcessorCount} processors");
        output.WriteLine($"runtime   {RuntimeInformation.FrameworkDescription}");
        output.WriteLine($"memory    {StatisticsTable.Mebibytes(memoryBytes)} available; KV memory uses half of it unless --max-kv-memory says otherwise");
        output.WriteLine($"backend   {backend.Description}");
        foreach (KernelChoice kernel in backend.Kernels) output.WriteLine($"kernel    {kernel.Operation}: {kernel.Kernel} ({kernel.Reason})");
        if (forced is not null) output.WriteLine($"cuda      {KernelSet.Variable} asks for the kernels '{forced.Name}'");
        if (cuda.DriverVersion is not null) output.WriteLine($"cuda      driver for CUDA {cuda.DriverVersion}");
        if (cuda.CompilerVersion is not null) output.WriteLine($"cuda      NVRTC {cuda.CompilerVersion} ({cuda.CompilerPath})");
        if (CudaEnvironment.MatrixLibraryVersion is { } version) output.WriteLine($"cuda      cuBLASLt {version} ({CudaEnvironment.MatrixLibraryPath})");
        if (NcclRankGroup.Version is { } ncclVersion) output.WriteLine($"cuda      NCCL {ncclVersion} ({NcclRankGroup.LibraryPath})");
        for (int i = 0; i < cuda.Devices.Count; i++)
        {
            CudaGpu gpu = cuda.Devices[i];
            output.WriteLine($"gpu {i}     {gpu.Name}, compute capability {gpu.ComputeCapability}, {gpu.NumMultiprocessors} multiprocessors, {StatisticsTable.Mebibytes(gpu.MemoryBytes)}");
            foreach (KernelChoice kernel in CudaBackend.KernelsFor(gpu, option: null))
                output.WriteLine($"gpu {i}     {kernel.Operation}: {kernel.Kernel} ({kernel.Reason})");
        }
        foreach (string missing in cuda.Missing) output.WriteLine($"no cuda   {missing}");
        if (CudaEnvironment.MatrixLibraryVersion is null) output.WriteLine($"no cuda   models cannot run: {CudaEnvironment.MissingMatrixLibrary}");
        if (NcclRankGroup.Version is null) output.WriteLine($"no cuda   several GPUs cannot be used: {NcclRankGroup.MissingLibrary}");
        string model = Directory.Exists(ModelArguments.EmbeddedModelPath) ? ModelArguments.EmbeddedModelPath : "missing";
        output.WriteLine($"model     embedded: {model}");
    }

    private static void WriteJson(Terminal terminal, CpuBackend backend, int numThreads, CudaEnvironment cuda, KernelSet? forced, long memoryBytes)
    {
        var output = new JsonLines(terminal.Output);
        output.Write(json =>
        {
            json.WriteString("os", RuntimeInformation.OSDescription.Trim());
            json.WriteString("architecture", RuntimeInformation.ProcessArchitecture.ToString());
            json.WriteNumber("processors", Environment.ProcessorCount);
            json.WriteNumber("threads", numThreads);
            json.WriteString("runtime", RuntimeInformation.FrameworkDescription);
            json.WriteNumber("memory_bytes", memoryBytes);
            json.WriteString("backend", backend.Description);
            WriteKernels(json, backend.Kernels);
            WriteCuda(json, cuda, forced);
        });
    }

    private static void WriteKernels(Utf8JsonWriter json, IReadOnlyList<KernelChoice> kernels)
    {
        json.WriteStartArray("kernels");
        foreach (KernelChoice kernel in kernels)
        {
            json.WriteStartObject();
            json.WriteString("operation", kernel.Operation);
            json.WriteString("kernel", kernel.Kernel);
            json.WriteString("reason", kernel.Reason);
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    private static void WriteCuda(Utf8JsonWriter json, CudaEnvironment cuda, KernelSet? forced)
    {
        json.WriteStartObject("cuda");
        json.WriteString("driver", cuda.DriverVersion);
        json.WriteString("nvrtc", cuda.CompilerVersion);
        json.WriteString("nvrtc_path", cuda.CompilerPath);
        json.WriteString("cublaslt", CudaEnvironment.MatrixLibraryVersion);
        json.WriteString("cublaslt_path", CudaEnvironment.MatrixLibraryPath);
        json.WriteString("nccl", NcclRankGroup.Version);
        json.WriteString("nccl_path", NcclRankGroup.LibraryPath);
        json.WriteString("forced_kernels", forced?.Name);
        json.WriteStartArray("gpus");
        foreach (CudaGpu gpu in cuda.Devices)
        {
            json.WriteStartObject();
            json.WriteString("name", gpu.Name);
            json.WriteString("compute_capability", gpu.ComputeCapability.ToString());
            json.WriteNumber("multiprocessors", gpu.NumMultiprocessors);
            json.WriteNumber("memory_bytes", gpu.MemoryBytes);
            WriteKernels(json, CudaBackend.KernelsFor(gpu, option: null));
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteStartArray("missing");
        foreach (string missing in cuda.Missing) json.WriteStringValue(missing);
        json.WriteEndArray();
        json.WriteEndObject();
    }
}
