//! The functions of JavaScript that this package calls. They are taken when the addon loads: a host that
//! replaces `JSON.parse` later must neither break a call nor change its result.

use napi::{
    Env, JsValue, Unknown,
    bindgen_prelude::{
        Array, FnArgs, FromNapiValue, Function, FunctionRef, JsObjectValue, JsValuesTupleIntoVec, Object,
        ToNapiValue,
    },
};
use napi_derive::napi;

type Reference = FunctionRef<(), Unknown<'static>>;

/// The main thread and each worker have functions of their own.
pub struct Intrinsics {
    parse: Reference,
    keys: Reference,
    has_own: Reference,
    get: Reference,
    prototype: Reference,
    apply: Reference,
    // Of a map that belongs to this package.
    recall: Reference,
    remember: Reference,
    forget: Reference,
}

#[napi(module_exports)]
#[allow(clippy::needless_pass_by_value)] // what napi passes
pub fn take(_exports: Object, env: Env) -> napi::Result<()> {
    let function = |object: &str, name: &str| {
        let object: Object = env.get_global()?.get_named_property_unchecked(object)?;
        let function: Function<(), Unknown> = object.get_named_property_unchecked(name)?;
        function.create_ref()
    };
    let class: Function<(), Unknown> = env.get_global()?.get_named_property_unchecked("Map")?;
    let map = Object::from_unknown(class.new_instance(())?)?;
    let method = |name: &str| {
        let method: Function<(), Unknown> = map.get_named_property_unchecked(name)?;
        method.bind(map)?.create_ref()
    };
    let intrinsics = Intrinsics {
        parse: function("JSON", "parse")?,
        keys: function("Object", "keys")?,
        has_own: function("Object", "hasOwn")?,
        get: function("Reflect", "get")?,
        prototype: function("Reflect", "getPrototypeOf")?,
        apply: function("Reflect", "apply")?,
        recall: method("get")?,
        remember: method("set")?,
        forget: method("delete")?,
    };
    env.set_instance_data(intrinsics, (), |_| ())
}

pub fn parse(env: &Env, json: String) -> napi::Result<Unknown<'_>> {
    call(env, |intrinsics| &intrinsics.parse, (json,))
}

/// The object's own enumerable names, each a string. The array is a new one, which belongs to nobody else.
pub fn keys<'env>(env: &'env Env, object: Unknown<'env>) -> napi::Result<Array<'env>> {
    call(env, |intrinsics| &intrinsics.keys, (object,))
}

pub fn has_own(env: &Env, object: Unknown, name: &str) -> napi::Result<bool> {
    call(env, |intrinsics| &intrinsics.has_own, (object, name.to_owned()))
}

/// `object[name]`. By way of JavaScript, because napi leaves the exception of a getter or a proxy pending,
/// to be thrown at the caller, but hands back that of a function.
pub fn get<'env>(
    env: &'env Env,
    object: Unknown<'env>,
    name: impl ToNapiValue,
) -> napi::Result<Unknown<'env>> {
    call(env, |intrinsics| &intrinsics.get, (object, name))
}

/// The prototype of an object, or null.
pub fn prototype<'env>(env: &'env Env, object: Unknown<'env>) -> napi::Result<Unknown<'env>> {
    call(env, |intrinsics| &intrinsics.prototype, (object,))
}

/// `object[name](...arguments)`.
pub fn call_method<'env>(
    env: &'env Env,
    object: Unknown<'env>,
    name: &str,
    arguments: Vec<Unknown<'env>>,
) -> napi::Result<Unknown<'env>> {
    let method = get(env, object, name)?;
    call(env, |intrinsics| &intrinsics.apply, (method, object, arguments))
}

/// What was remembered under a key, or undefined. Objects are different keys, even if they look the same.
pub fn recall(env: &Env, key: impl ToNapiValue) -> napi::Result<Unknown<'_>> {
    call(env, |intrinsics| &intrinsics.recall, (key,))
}

pub fn remember(env: &Env, key: impl ToNapiValue, value: impl ToNapiValue) -> napi::Result<()> {
    call(env, |intrinsics| &intrinsics.remember, (key, value)).map(|_: Unknown| ())
}

pub fn forget(env: &Env, key: impl ToNapiValue) -> napi::Result<()> {
    call(env, |intrinsics| &intrinsics.forget, (key,)).map(|_: Unknown| ())
}

fn call<A, R: FromNapiValue>(
    env: &Env,
    choose: impl FnOnce(&Intrinsics) -> &Reference,
    arguments: A,
) -> napi::Result<R>
where
    FnArgs<A>: JsValuesTupleIntoVec,
{
    let intrinsics: Option<&mut Intrinsics> = env.get_instance_data()?;
    let intrinsics = intrinsics.ok_or_else(|| napi::Error::from_reason("the addon was not loaded"))?;
    let function = choose(intrinsics).borrow_back(env)?.to_unknown();
    Function::<FnArgs<A>, R>::from_unknown(function)?.call(FnArgs { data: arguments })
}
