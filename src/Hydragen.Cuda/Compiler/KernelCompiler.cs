using System.Runtime.InteropServices;
using System.Text;

namespace Hydragen.Cuda;

/// <summary>Compiles kernels to cubins for one architecture. Thread-safe.</summary>
internal sealed unsafe class KernelCompiler
{
    /// <summary>The compute capability of the H100 and H200.</summary>
    public static readonly Version Hopper = new(9, 0);

    // What later versions find in a cache of their own has no log; earlier ones have neither the cache nor the option.
    private static readonly Lazy<string[]> CacheOptions = new(() => HasOption("--no-cache") ? ["--no-cache"] : []);

    private readonly KernelCache _cache;
    private readonly string _architecture;
    private readonly Version _version;

    /// <param name="computeCapability">The device's.</param>
    /// <param name="cache">Where results are kept.</param>
    /// <exception cref="CudaException">NVRTC refuses to tell its version.</exception>
    public KernelCompiler(Version computeCapability, KernelCache cache)
    {
        _cache = cache;
        // Hopper's matrix and copy instructions exist on the architecture-specific target only.
        _architecture = $"sm_{computeCapability.Major}{computeCapability.Minor}{(computeCapability == Hopper ? "a" : "")}";
        _version = Version;
    }

    /// <summary>The compiler's version, such as <c>13.0</c>.</summary>
    public static Version Version
    {
        get
        {
            Check(CompilerApi.Version(out int major, out int minor), "nvrtcVersion", null, "");
            return new Version(major, minor);
        }
    }

    /// <summary>Compiles a kernel, or takes it from the cache.</summary>
    /// <exception cref="CudaException">It does not compile; the message has the first lines of the log.</exception>
    public CompiledKernel Compile(KernelVariant variant)
    {
        string[] options =
        [
            $"--gpu-architecture={_architecture}", "--std=c++17", "--generate-line-info", "--ptxas-options=-v",
            .. variant.Defines.Split(' ').Select(define => $"--define-macro={define}"),
        ];
        string source = KernelSource.Of(variant.Name);
        string key = KernelCache.Key([_version.ToString(), variant.Name, source, .. options, .. KernelSource.Headers.Select(header => header.Key + '\n' + header.Value)]);
        if (!_cache.TryRead(key, out byte[] binary, out string log))
        {
            (binary, log) = Compile(variant, source, [.. options, .. CacheOptions.Value]);
            _cache.Write(key, binary, log);
        }
        return new CompiledKernel(binary, log);
    }

    private static (byte[] Binary, string Log) Compile(KernelVariant variant, string source, string[] options)
    {
        string name = variant.ToString();
        using var texts = new NativeTexts();
        byte** headers = texts.Add(KernelSource.Headers.Values), headerNames = texts.Add(KernelSource.Headers.Keys), arguments = texts.Add(options);
        Check(
            CompilerApi.CreateProgram(
                out nint program, texts.Add(source), texts.Add(variant.Name + ".cu"), KernelSource.Headers.Count, headers, headerNames),
            "nvrtcCreateProgram", name, "");
        try
        {
            int status = CompilerApi.CompileProgram(program, options.Length, arguments);
            string log = ReadLog(program, name);
            Check(status, "nvrtcCompileProgram", name, log);
            Check(CompilerApi.GetBinarySize(program, out nuint size), "nvrtcGetCUBINSize", name, "");
            var binary = new byte[size];
            fixed (byte* pointer = binary) Check(CompilerApi.GetBinary(program, pointer), "nvrtcGetCUBIN", name, "");
            return (binary, log);
        }
        finally
        {
            _ = CompilerApi.DestroyProgram(ref program);
        }
    }

    /// <summary>Whether this version of the compiler takes an option: it compiles a program of nothing with it.</summary>
    private static bool HasOption(string option)
    {
        using var texts = new NativeTexts();
        Check(CompilerApi.CreateProgram(out nint program, texts.Add(""), texts.Add("empty.cu"), 0, null, null), "nvrtcCreateProgram", null, "");
        int status = CompilerApi.CompileProgram(program, 1, texts.Add([option]));
        Check(CompilerApi.DestroyProgram(ref program), "nvrtcDestroyProgram", null, "");
        return status == 0;
    }

    private static string ReadLog(nint program, string kernel)
    {
        Check(CompilerApi.GetProgramLogSize(program, out nuint size), "nvrtcGetProgramLogSize", kernel, "");
        var log = new byte[size];
        fixed (byte* pointer = log) Check(CompilerApi.GetProgramLog(program, pointer), "nvrtcGetProgramLog", kernel, "");
        return Encoding.UTF8.GetString(log).TrimEnd('\0');
    }

    private static void Check(int status, string call, string? kernel, string log)
    {
        if (status == 0) return;
        string name = Marshal.PtrToStringUTF8((nint)CompilerApi.GetErrorString(status)) ?? $"status {status}";
        string about = kernel is null ? "" : $" of kernel {kernel}";
        string detail = log.Length == 0 ? "" : $": {string.Join("; ", log.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Take(8))}";
        throw new CudaException(call, name, kernel, $"{call}{about} failed: {name}{detail}");
    }

    /// <summary>Zero-terminated UTF-8 texts, and arrays of them, that live as long as this.</summary>
    private sealed class NativeTexts : IDisposable
    {
        private readonly List<nint> _blocks = [];

        public byte* Add(string text)
        {
            nint block = Marshal.StringToCoTaskMemUTF8(text);
            _blocks.Add(block);
            return (byte*)block;
        }

        public byte** Add(IEnumerable<string> texts)
        {
            nint[] items = [.. texts.Select(text => (nint)Add(text))];
            nint block = Marshal.AllocCoTaskMem(Math.Max(1, items.Length) * sizeof(nint));
            _blocks.Add(block);
            items.CopyTo(new Span<nint>((void*)block, items.Length));
            return (byte**)block;
        }

        public void Dispose()
        {
            foreach (nint block in _blocks) Marshal.FreeCoTaskMem(block);
        }
    }
}
